package dev.graft.weights;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;

/**
 * Reads elements of a located tensor as F32, in row-major order of its axes. Contiguous tensors stream through a
 * buffer of 1 MiB; strided ones are gathered from mapped windows of 1 GiB, so that both may exceed 2 GiB.
 */
final class TensorReader {
    private static final int BLOCK = 1 << 20;
    private static final int WINDOW_BITS = 30;

    private TensorReader() {
    }

    static void read(FileBytes file, StoredTensor tensor, long first, FloatBuffer into) {
        if (!into.hasRemaining()) {
            return;
        }
        if (tensor.contiguous()) {
            stream(file, tensor, first, into);
        } else {
            gather(file, tensor, first, into);
        }
    }

    private static void stream(FileBytes file, StoredTensor tensor, long first, FloatBuffer into) {
        int width = tensor.dtype().bytes();
        ByteBuffer block = ByteBuffer.allocate((int) Math.min(BLOCK, (long) into.remaining() * width))
                .order(ByteOrder.LITTLE_ENDIAN);
        long position = tensor.offset() + first * width;
        while (into.hasRemaining()) {
            block.clear().limit((int) Math.min(block.capacity(), (long) into.remaining() * width));
            file.read(position, block);
            position += block.flip().remaining();
            widen(tensor.dtype(), block, into);
        }
    }

    private static void gather(FileBytes file, StoredTensor tensor, long first, FloatBuffer into) {
        int width = tensor.dtype().bytes();
        ByteBuffer[] windows = new ByteBuffer[(int) (tensor.length() - 1 >> WINDOW_BITS) + 1];
        for (int w = 0; w < windows.length; w++) {
            long start = (long) w << WINDOW_BITS;
            windows[w] = file.map(tensor.offset() + start, Math.min(1L << WINDOW_BITS, tensor.length() - start));
        }
        Odometer element = new Odometer(tensor.dims(), tensor.strides());
        element.seek(first);
        Dtype dtype = tensor.dtype();
        while (into.hasRemaining()) {
            long at = element.position() * width;
            into.put(value(dtype, windows[(int) (at >> WINDOW_BITS)], (int) (at & (1L << WINDOW_BITS) - 1)));
            element.next();
        }
    }

    private static void widen(Dtype dtype, ByteBuffer block, FloatBuffer into) {
        if (dtype == Dtype.F32) {
            into.put(block.asFloatBuffer());
            return;
        }
        for (int at = 0; at < block.limit(); at += dtype.bytes()) {
            into.put(value(dtype, block, at));
        }
    }

    /** One little-endian element as F32; F64 and integers above 2^24 are rounded to nearest. */
    private static float value(Dtype dtype, ByteBuffer bytes, int at) {
        return switch (dtype) {
            case F32 -> bytes.getFloat(at);
            case F16 -> Half.fromF16(bytes.getShort(at));
            case BF16 -> Half.fromBf16(bytes.getShort(at));
            case F64 -> (float) bytes.getDouble(at);
            case I64 -> bytes.getLong(at);
            case I32 -> bytes.getInt(at);
            case I16 -> bytes.getShort(at);
            case I8 -> bytes.get(at);
            case U8 -> bytes.get(at) & 0xff;
            case BOOL -> bytes.get(at) == 0 ? 0 : 1;
        };
    }
}
