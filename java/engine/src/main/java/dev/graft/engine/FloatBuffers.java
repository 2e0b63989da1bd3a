package dev.graft.engine;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;

/** Direct buffers in native order. */
final class FloatBuffers {
    private FloatBuffers() {}

    static FloatBuffer allocate(long count) {
        if (count > Integer.MAX_VALUE / Float.BYTES) {
            throw new IllegalArgumentException(count + " elements do not fit into one Java buffer");
        }
        return ByteBuffer.allocateDirect((int) count * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
    }

    static FloatBuffer copy(float[] values) {
        return allocate(values.length).put(values).rewind();
    }

    static float[] array(FloatBuffer values) {
        float[] array = new float[values.remaining()];
        values.duplicate().get(array);
        return array;
    }

    static FloatBuffer direct(String name, FloatBuffer values) {
        if (!values.isDirect() || values.order() != ByteOrder.nativeOrder()) {
            throw new IllegalArgumentException(name + ": buffer must be direct and in native byte order");
        }
        return values;
    }

    /** Checks a buffer of any element type. */
    static void requireDirect(String name, Buffer buffer) {
        if (!buffer.isDirect()) {
            throw new IllegalArgumentException(name + ": buffer must be direct");
        }
    }
}
