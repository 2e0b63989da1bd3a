package dev.graft.engine;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;

/** The kinds of memory that a caller can pass, each with the same numbers in it, and a way to read them back. */
enum DirectMemory {
    ARRAY, BUFFER, POINTER, ADDRESS;

    /** Elements before the operand, where its kind has a position: a kernel that forgot it would read these. */
    private static final int BEFORE = 3;

    record Floats(Memory memory, FloatBuffer view, float[] array) {
        float[] read() {
            if (array != null) {
                return array;
            }
            float[] values = new float[view.remaining()];
            view.get(view.position(), values);
            return values;
        }
    }

    Floats floats(float[] values) {
        if (this == ARRAY) {
            float[] own = values.clone();
            return new Floats(Memory.of(own), null, own);
        }
        FloatBuffer view = ByteBuffer.allocateDirect((BEFORE + values.length) * Float.BYTES).order(ByteOrder.nativeOrder())
                .asFloatBuffer().position(BEFORE);
        view.put(BEFORE, values);
        Memory memory = switch (this) {
            case BUFFER -> Memory.of(view);
            case POINTER -> Memory.of(whole(view).position(BEFORE));
            default -> Memory.at(address(view), values.length);
        };
        return new Floats(memory, view, null);
    }

    Memory ints(int[] values) {
        if (this == ARRAY) {
            return Memory.of(values);
        }
        IntBuffer view = ByteBuffer.allocateDirect(values.length * Integer.BYTES).order(ByteOrder.nativeOrder()).asIntBuffer();
        view.put(0, values);
        // Pointers and buffers keep their memory reachable; a raw address would not.
        return this == BUFFER ? Memory.of(view) : Memory.of(new IntPointer(view));
    }

    static long address(FloatBuffer buffer) {
        return whole(buffer).address() + (long) buffer.position() * Float.BYTES;
    }

    private static FloatPointer whole(FloatBuffer buffer) {
        return new FloatPointer(buffer.duplicate().clear());
    }

    static float[] normal(String name, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = Philox.normal(Philox.key(20261123, name), 0, 0, i);
        }
        return values;
    }
}
