package dev.graft.weights;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Objects;
import java.util.function.Consumer;

/**
 * A tensor to be written: described first, asked for its bytes when its turn has come, so that a file larger than memory
 * can be written.
 */
public interface TensorSource {
    /** Name in the file. */
    String name();

    /** Element type of the bytes that {@link #copyTo} hands over. */
    Dtype dtype();

    /** Sizes of the axes; empty for a scalar. */
    long[] dims();

    /** Hands over all elements, little-endian and row-major, in as many buffers as it likes; each is used during the call only. */
    void copyTo(Consumer<ByteBuffer> out);

    /** F32 values in memory, row-major; the array is not copied. */
    static TensorSource of(String name, float[] values, long... dims) {
        Objects.requireNonNull(name, "name");
        if (StoredTensor.product(dims) != values.length) {
            throw new IllegalArgumentException(name + ": " + values.length + " values for sizes " + Arrays.toString(dims));
        }
        long[] sizes = dims.clone();
        return new TensorSource() {
            @Override
            public String name() {
                return name;
            }

            @Override
            public Dtype dtype() {
                return Dtype.F32;
            }

            @Override
            public long[] dims() {
                return sizes.clone();
            }

            @Override
            public void copyTo(Consumer<ByteBuffer> out) {
                int block = 1 << 18;
                ByteBuffer bytes = ByteBuffer.allocate(Math.min(block, values.length) * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
                for (int done = 0; done < values.length; done += block) {
                    int count = Math.min(block, values.length - done);
                    bytes.clear().limit(count * Float.BYTES);
                    bytes.asFloatBuffer().put(values, done, count);
                    out.accept(bytes);
                }
            }
        };
    }

    /** A contiguous tensor of an open file, its bytes unchanged; the file stays open until they are written. */
    static TensorSource of(WeightFile file, StoredTensor tensor) {
        return new TensorSource() {
            @Override
            public String name() {
                return tensor.name();
            }

            @Override
            public Dtype dtype() {
                return tensor.dtype();
            }

            @Override
            public long[] dims() {
                return tensor.dims();
            }

            @Override
            public void copyTo(Consumer<ByteBuffer> out) {
                file.copyBytes(tensor, out);
            }
        };
    }
}
