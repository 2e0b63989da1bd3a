package dev.graft.engine;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;

/** Direct buffers in native byte order: memory that native code reads and writes where it lies. */
final class Direct {
    private Direct() {}

    static ByteBuffer bytes(long count) {
        if (count > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(count + " bytes do not fit into one Java buffer; pass an address");
        }
        return ByteBuffer.allocateDirect((int) count).order(ByteOrder.nativeOrder());
    }

    static FloatBuffer floats(long count) {
        return bytes(Math.multiplyExact(count, Float.BYTES)).asFloatBuffer();
    }

    static FloatBuffer copy(float[] values) {
        return floats(values.length).put(0, values);
    }

    static float[] array(FloatBuffer values) {
        float[] array = new float[values.remaining()];
        values.get(values.position(), array);
        return array;
    }

    static void require(String name, Buffer buffer) {
        if (!buffer.isDirect()) {
            throw new IllegalArgumentException(name + ": buffer must be direct");
        }
    }

    static void require(String name, Buffer buffer, ByteOrder order) {
        require(name, buffer);
        if (order != ByteOrder.nativeOrder()) {
            throw new IllegalArgumentException(name + ": buffer must be in native byte order " + ByteOrder.nativeOrder()
                    + ", got " + order);
        }
    }
}
