package dev.graft.engine;

import java.util.ArrayList;
import java.util.List;

/** Sizes of tensors as lists of longs. */
final class Dims {
    static final int LARGEST_RANK = 8;

    private Dims() {}

    static List<Long> of(long... dims) {
        List<Long> list = new ArrayList<>(dims.length);
        for (long d : dims) {
            list.add(d);
        }
        return List.copyOf(list);
    }

    static List<Long> checked(String name, List<Long> dims, long least) {
        if (dims.size() > LARGEST_RANK) {
            throw new IllegalArgumentException(name + ": at most " + LARGEST_RANK + " dimensions, got " + dims.size());
        }
        for (long d : dims) {
            if (d < least) {
                throw new IllegalArgumentException(name + ": sizes must be at least " + least + ", got " + dims);
            }
        }
        return List.copyOf(dims);
    }

    static long[] array(List<Long> dims) {
        long[] array = new long[dims.size()];
        for (int i = 0; i < array.length; i++) {
            array[i] = dims.get(i);
        }
        return array;
    }

    static long count(List<Long> dims) {
        long count = 1;
        for (long d : dims) {
            count = Math.multiplyExact(count, d);
        }
        return count;
    }
}
