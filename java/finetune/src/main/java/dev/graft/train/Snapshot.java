package dev.graft.train;

import dev.graft.engine.Parameters;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;

/** A copy of parameters' values, outside the Java heap; taken again it takes no more memory. */
final class Snapshot {
    private final Parameters parameters;
    private final Map<String, FloatBuffer> values = new LinkedHashMap<>();

    /** Takes the values as they are now. */
    Snapshot(Parameters parameters, Collection<String> names) {
        this.parameters = parameters;
        for (String name : names) {
            int bytes = Math.toIntExact(Float.BYTES * parameters.declaration(name).count());
            values.put(name, ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder()).asFloatBuffer());
        }
        take();
    }

    /** Takes the values as they are now instead. */
    void take() {
        values.forEach(parameters::read);
    }

    /** Gives the parameters the values that were taken last. */
    void restore() {
        values.forEach(parameters::write);
    }
}
