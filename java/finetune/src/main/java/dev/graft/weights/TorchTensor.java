package dev.graft.weights;

import java.util.Arrays;

/**
 * A tensor that a pickle describes: a strided view of a storage, within its bounds.
 *
 * @param storage the storage
 * @param dtype   element type
 * @param offset  first element, counted in elements of {@code dtype} from the begin of the whole storage
 * @param dims    sizes
 * @param strides strides in elements
 */
record TorchTensor(TorchStorage storage, Dtype dtype, long offset, long[] dims, long[] strides) {
    static final int MOST_AXES = 64;
    /** Elements that a tensor may have beyond those of its storage, which an expanded view reads again and again. */
    private static final long MOST_EXPANDED = 1 << 20;

    /**
     * Checks the view against its storage.
     *
     * @throws WeightsException through {@code in} if it reaches out of the storage
     */
    static TorchTensor of(TorchStorage storage, Dtype dtype, long offset, long[] dims, long[] strides, PickleInput in) {
        String shape = "a tensor of sizes " + shortened(dims) + " and strides " + shortened(strides);
        if (dims.length != strides.length) {
            throw in.failure(shape + ": expected as many strides as sizes");
        }
        try {
            long elements = 1;
            long last = offset;
            for (int axis = 0; axis < dims.length; axis++) {
                if (dims[axis] < 0 || strides[axis] < 0) {
                    throw in.failure(shape + ": negative");
                }
                elements = Math.multiplyExact(elements, dims[axis]);
                last = Math.addExact(last, Math.multiplyExact(Math.max(0, dims[axis] - 1), strides[axis]));
            }
            long available = Math.multiplyExact(storage.elements(), storage.dtype().bytes()) / dtype.bytes();
            if (offset < 0 || elements > 0 && last >= available) {
                throw in.failure(shape + " reaches element " + last + " of a storage of " + available);
            }
            if (elements > Math.max(available, MOST_EXPANDED)) {
                throw in.failure(shape + " has more elements than its storage of " + available);
            }
            return new TorchTensor(storage, dtype, elements == 0 ? 0 : offset + storage.first(), dims, strides);
        } catch (ArithmeticException e) {
            throw in.failure(shape + " overflows");
        }
    }

    /** Bytes from the first element to the end of the last one. */
    long length() {
        long last = 0;
        for (int axis = 0; axis < dims.length; axis++) {
            if (dims[axis] == 0) {
                return 0;
            }
            last += (dims[axis] - 1) * strides[axis];
        }
        return (last + 1) * dtype.bytes();
    }

    private static String shortened(long[] values) {
        return Messages.oneLine(Arrays.toString(values));
    }
}
