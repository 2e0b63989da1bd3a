package dev.graft.weights;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Objects;
import java.util.stream.IntStream;

/**
 * A tensor in a file: what it is and where its bytes are, so that it can be mapped or read when it is needed.
 * Numbers are little-endian.
 *
 * @param name    name, without the stripped prefix of the file
 * @param dtype   stored element type
 * @param dims    sizes of the axes; empty for a scalar
 * @param file    the file (the shard) that holds the bytes
 * @param offset  byte offset of the first element in {@code file}
 * @param length  bytes from the first element to the end of the last one; 0 for an empty tensor
 * @param strides distance in elements between neighbours along each axis, none negative
 */
public record StoredTensor(String name, Dtype dtype, long[] dims, Path file, long offset, long length, long[] strides) {
    /** Copies the arrays. */
    public StoredTensor {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(dtype, "dtype");
        Objects.requireNonNull(file, "file");
        dims = dims.clone();
        strides = strides.clone();
        if (dims.length != strides.length) {
            throw new IllegalArgumentException(name + ": " + dims.length + " dims, " + strides.length + " strides");
        }
    }

    /** A tensor whose elements lie one after the other in row-major order. */
    static StoredTensor contiguous(String name, Dtype dtype, long[] dims, Path file, long offset) {
        return new StoredTensor(name, dtype, dims, file, offset, product(dims) * dtype.bytes(), rowMajor(dims));
    }

    /** A copy of the sizes. */
    @Override
    public long[] dims() {
        return dims.clone();
    }

    /** A copy of the distances, in elements. */
    @Override
    public long[] strides() {
        return strides.clone();
    }

    /** Number of elements. */
    public long elements() {
        return product(dims);
    }

    /** Whether the elements lie one after the other in row-major order, so that the byte range is the tensor. */
    public boolean contiguous() {
        long expected = 1;
        for (int axis = dims.length - 1; axis >= 0; axis--) {
            if (dims[axis] == 0) {
                return true;
            }
            if (dims[axis] != 1 && strides[axis] != expected) {
                return false;
            }
            expected *= dims[axis];
        }
        return true;
    }

    /**
     * The same bytes seen with the axes in another order: axis {@code i} of the result is axis {@code axes[i]} of this
     * tensor. The result is {@linkplain #contiguous() contiguous} exactly if no byte would have to move, as for a 1x1
     * convolution kernel under {@link Layout#oihwToOhwi()}.
     */
    public StoredTensor permuted(int... axes) {
        Layout.check(axes, dims.length);
        long[] newDims = new long[axes.length];
        long[] newStrides = new long[axes.length];
        for (int i = 0; i < axes.length; i++) {
            newDims[i] = dims[axes[i]];
            newStrides[i] = strides[axes[i]];
        }
        return new StoredTensor(name, dtype, newDims, file, offset, length, newStrides);
    }

    /**
     * How a reader of plain arrays sees the bytes: the sizes in the order of the file, and for each axis of this tensor the
     * file's axis it is.
     *
     * @param dims  sizes, the file's outermost axis first
     * @param order {@code order[i]} is the file's axis that is axis {@code i} of the tensor
     */
    public record FileOrder(long[] dims, int[] order) {
    }

    /**
     * The order of the axes in the file if the elements fill the byte range without gap or overlap, as a tensor does that
     * was saved transposed or with channels last; null if they do not.
     */
    public FileOrder fileOrder() {
        int[] byStride = IntStream.range(0, dims.length).boxed()
                .sorted(Comparator.comparingLong((Integer axis) -> dims[axis] == 1 ? Long.MAX_VALUE : strides[axis]).reversed())
                .mapToInt(Integer::intValue).toArray();
        long[] fileDims = new long[dims.length];
        int[] order = new int[dims.length];
        long expected = 1;
        for (int i = dims.length - 1; i >= 0; i--) {
            int axis = byStride[i];
            if (dims[axis] == 0 || dims[axis] != 1 && strides[axis] != expected) {
                return null;
            }
            fileDims[i] = dims[axis];
            order[axis] = i;
            expected *= dims[axis];
        }
        return new FileOrder(fileDims, order);
    }

    /** The same tensor under another name. */
    StoredTensor named(String newName) {
        return new StoredTensor(newName, dtype, dims, file, offset, length, strides);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof StoredTensor t && name.equals(t.name) && dtype == t.dtype && Arrays.equals(dims, t.dims)
                && file.equals(t.file) && offset == t.offset && length == t.length && Arrays.equals(strides, t.strides);
    }

    @Override
    public int hashCode() {
        return Objects.hash(name, dtype, Arrays.hashCode(dims), file, offset, length, Arrays.hashCode(strides));
    }

    /** {@code name F32 [64, 3, 7, 7]}. */
    @Override
    public String toString() {
        return name + " " + dtype + " " + Arrays.toString(dims);
    }

    static long[] rowMajor(long[] dims) {
        long[] strides = new long[dims.length];
        long stride = 1;
        for (int axis = dims.length - 1; axis >= 0; axis--) {
            strides[axis] = stride;
            stride *= Math.max(1, dims[axis]);
        }
        return strides;
    }

    static long product(long[] dims) {
        long product = 1;
        for (long dim : dims) {
            product *= dim;
        }
        return product;
    }
}
