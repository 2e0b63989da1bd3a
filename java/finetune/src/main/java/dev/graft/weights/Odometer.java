package dev.graft.weights;

/** Walks a strided tensor in row-major order of its axes and knows the position of each element. Not thread-safe. */
final class Odometer {
    private final long[] dims;
    private final long[] strides;
    private final long[] index;
    private long position;

    Odometer(long[] dims, long[] strides) {
        this.dims = dims;
        this.strides = strides;
        this.index = new long[dims.length];
    }

    /** Position in elements of the present element, relative to the first one. */
    long position() {
        return position;
    }

    /** Steps to the next element; after the last one it is at the first again. */
    void next() {
        for (int axis = dims.length - 1; axis >= 0; axis--) {
            position += strides[axis];
            if (++index[axis] < dims[axis]) {
                return;
            }
            position -= strides[axis] * dims[axis];
            index[axis] = 0;
        }
    }

    /** Goes to the element of that row-major number. */
    void seek(long element) {
        position = 0;
        for (int axis = dims.length - 1; axis >= 0; axis--) {
            index[axis] = element % dims[axis];
            position += index[axis] * strides[axis];
            element /= dims[axis];
        }
    }
}
