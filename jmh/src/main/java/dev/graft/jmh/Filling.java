package dev.graft.jmh;

import dev.graft.engine.Philox;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;

/** Reproducible contents for parameters and inputs, in direct buffers so that the Java heap stays small. */
final class Filling {
    private static final long SEED = 0;

    private Filling() {}

    /** {@code count} standard normal numbers times {@code deviation}, keyed by {@code name}. */
    static FloatBuffer normal(String name, long count, double deviation) {
        FloatBuffer values = ByteBuffer.allocateDirect(Math.toIntExact(count * Float.BYTES))
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
        long key = Philox.key(SEED, name);
        for (int i = 0; i < values.capacity(); i++) {
            values.put(i, (float) (deviation * Philox.normal(key, 0, 0, i)));
        }
        return values;
    }
}
