package dev.graft.engine;

import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;
import java.util.Objects;
import org.bytedeco.javacpp.BytePointer;

/**
 * The operands of one call of a direct kernel, with direct memory for those that are Java arrays. An array that is passed twice
 * has one place, so that native code sees which operands are the same memory. Used by one thread at a time, again and again.
 */
final class Operands {
    private static final int MOST = 12;
    private static final int ALIGNMENT = 64;

    // false: they have to lie on a GPU
    private final boolean host;
    private final Memory[] memories = new Memory[MOST];
    private final boolean[] written = new boolean[MOST];
    private final long[] places = new long[MOST];
    private int size;
    private ByteBuffer block;
    private FloatBuffer floats;
    private IntBuffer ints;
    private long base;

    /** Of calls whose operands are memory of the host, or of a GPU. */
    Operands(boolean host) {
        this.host = host;
        reserve(ALIGNMENT);
    }

    /** Adds an operand that is only read; null where it is left out. Returns its index. */
    int reads(String name, Memory memory, DType... types) {
        return add(name, memory, false, types);
    }

    /** Adds an operand that is written; null where it is left out. Returns its index. */
    int writes(String name, Memory memory, DType... types) {
        return add(name, memory, true, types);
    }

    private int add(String name, Memory memory, boolean write, DType... types) {
        if (memory != null) {
            if (!host && memory.ofJava()) {
                throw new IllegalArgumentException(
                        name + " is " + memory + "; expected memory of the GPU, by a pointer or an address");
            }
            boolean fits = false;
            for (DType type : types) {
                fits |= memory.dtype() == type;
            }
            if (!fits) {
                throw new IllegalArgumentException(
                        name + " is " + memory.dtype() + "; expected " + Arrays.toString(types));
            }
            apartFromOthers(name, memory, write);
        }
        memories[size] = memory;
        written[size] = write;
        return size++;
    }

    /** Parts of one array are told apart here; all else is native code's to find. */
    private void apartFromOthers(String name, Memory memory, boolean write) {
        for (int i = 0; i < size; i++) {
            Memory other = memories[i];
            if (other == null || memory.array() == null || other.array() != memory.array() || same(memory, other)) {
                continue;
            }
            boolean apart = memory.offset() + memory.count() <= other.offset()
                    || other.offset() + other.count() <= memory.offset();
            if (!apart && (write || written[i])) {
                throw new IllegalArgumentException(name + " overlaps another operand: elements " + memory.offset() + " to "
                        + (memory.offset() + memory.count()) + " and " + other.offset() + " to "
                        + (other.offset() + other.count()) + " of one array");
            }
        }
    }

    private static boolean same(Memory a, Memory b) {
        return a.array() == b.array() && a.offset() == b.offset() && a.count() == b.count();
    }

    /** Gives every array its place and copies it there. */
    void copyIn() {
        long bytes = 0;
        for (int i = 0; i < size; i++) {
            Memory m = memories[i];
            if (m == null || m.array() == null) {
                continue;
            }
            int first = firstSame(i);
            places[i] = first < i ? places[first] : bytes;
            if (first == i) {
                bytes += (m.count() * m.dtype().bytes() + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            }
        }
        if (bytes > block.capacity()) {
            reserve(Math.max(bytes, Math.min(2L * block.capacity(), Integer.MAX_VALUE - ALIGNMENT)));
        }
        for (int i = 0; i < size; i++) {
            if (memories[i] != null && memories[i].array() != null && firstSame(i) == i) {
                copyIn(memories[i], (int) places[i]);
            }
        }
    }

    private int firstSame(int index) {
        int first = 0;
        while (first < index && (memories[first] == null || !same(memories[first], memories[index]))) {
            first++;
        }
        return first;
    }

    private void reserve(long bytes) {
        block = Direct.bytes(bytes + ALIGNMENT).alignedSlice(ALIGNMENT).order(ByteOrder.nativeOrder());
        floats = block.asFloatBuffer();
        ints = block.asIntBuffer();
        base = new BytePointer(block).address();
    }

    private void copyIn(Memory memory, int place) {
        int from = memory.offset();
        int length = (int) memory.count();
        if (memory.array() instanceof float[] values) {
            floats.put(place / Float.BYTES, values, from, length);
        } else if (memory.array() instanceof int[] values) {
            ints.put(place / Integer.BYTES, values, from, length);
        } else {
            block.put(place, (byte[]) memory.array(), from, length);
        }
    }

    private void copyOut(Memory memory, int place) {
        int from = memory.offset();
        int length = (int) memory.count();
        if (memory.array() instanceof float[] values) {
            floats.get(place / Float.BYTES, values, from, length);
        } else if (memory.array() instanceof int[] values) {
            ints.get(place / Integer.BYTES, values, from, length);
        } else {
            block.get(place, (byte[]) memory.array(), from, length);
        }
    }

    /** Copies back the arrays that were written. */
    void copyOut() {
        for (int i = 0; i < size; i++) {
            if (memories[i] != null && written[i] && memories[i].array() != null) {
                copyOut(memories[i], (int) places[i]);
            }
        }
    }

    /** Address of an operand, 0 where it is left out. */
    long address(int index) {
        Memory m = memories[index];
        if (m == null) {
            return 0;
        }
        return m.array() != null ? base + places[index] : m.address();
    }

    /** Elements of an operand, 0 where it is left out. */
    long count(int index) {
        return memories[index] == null ? 0 : memories[index].count();
    }

    /** Forgets the operands; until here what they are made from stays reachable. */
    void clear() {
        for (int i = 0; i < size; i++) {
            Reference.reachabilityFence(memories[i]);
            memories[i] = null;
        }
        size = 0;
    }

    static Memory needed(String name, Memory memory) {
        return Objects.requireNonNull(memory, name);
    }
}
