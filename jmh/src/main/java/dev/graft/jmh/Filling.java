package dev.graft.jmh;

import dev.graft.engine.Parameters;
import dev.graft.engine.Philox;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.List;

/** Reproducible contents for parameters and inputs, through one direct buffer so that the Java heap stays small. */
final class Filling {
    private static final long SEED = 0;

    private Filling() {}

    /** {@code count} standard normal numbers times {@code deviation}, keyed by {@code name}. */
    static FloatBuffer normal(String name, long count, double deviation) {
        FloatBuffer values = direct(count);
        long key = Philox.key(SEED, name);
        for (int i = 0; i < values.capacity(); i++) {
            values.put(i, (float) (deviation * Philox.normal(key, 0, 0, i)));
        }
        return values;
    }

    static FloatBuffer constant(long count, float value) {
        FloatBuffer values = direct(count);
        for (int i = 0; i < values.capacity(); i++) {
            values.put(i, value);
        }
        return values;
    }

    /**
     * Initial values as PyTorch's ResNet has them: normal convolutions with the deviation sqrt(2 / fan out), matrices with
     * sqrt(1 / (3 fan in)), norms as the identity.
     */
    static void initialize(Parameters parameters) {
        for (Parameters.Declared declared : parameters.declarations()) {
            List<Long> dims = declared.dims();
            String name = declared.name();
            FloatBuffer values;
            if (dims.size() == 4) {
                values = normal(name, declared.count(), Math.sqrt(2.0 / (dims.get(0) * dims.get(1) * dims.get(2))));
            } else if (dims.size() == 2) {
                values = normal(name, declared.count(), Math.sqrt(1.0 / (3 * dims.get(1))));
            } else {
                boolean one = name.endsWith(".running_var") || (name.endsWith(".weight"));
                values = constant(declared.count(), one ? 1 : 0);
            }
            parameters.write(name, values);
        }
    }

    private static FloatBuffer direct(long count) {
        return ByteBuffer.allocateDirect(Math.toIntExact(count * Float.BYTES)).order(ByteOrder.nativeOrder()).asFloatBuffer();
    }
}
