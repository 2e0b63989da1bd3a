package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/**
 * One value of a session that can be read after a run: F32 (integer values: I32), all rows of the batch, row-major. What it
 * reads is that of the last run until another plan of the same workspace runs. For the session's thread.
 */
public final class PlanOutput {
    private final Session session;
    private final String name;
    private final ByteBuffer key;
    private final long count;
    private FloatBuffer staging;

    /** Called within a call of the session. */
    PlanOutput(Session session, String name) {
        this.session = session;
        this.name = name;
        this.key = Text.direct(name);
        long[] size = new long[1];
        Status.check(Graft.graft_session_size(session.pointer, name, size));
        this.count = size[0];
    }

    /** The name it was asked by. */
    public String name() {
        return name;
    }

    /** Its elements. */
    public long count() {
        return count;
    }

    /** A new array of its elements. */
    public float[] read() {
        float[] values = new float[Math.toIntExact(count)];
        read(values);
        return values;
    }

    /** Reads all elements, through a direct buffer that is made at the first such call. */
    public void read(float[] values) {
        check(values.length);
        read(staging());
        staging.get(0, values);
    }

    /** Reads all elements of an integer value, as {@link #read(float[])} does. */
    public void read(int[] values) {
        check(values.length);
        FloatBuffer bits = staging();
        read(bits);
        for (int i = 0; i < values.length; i++) {
            values[i] = Float.floatToRawIntBits(bits.get(i));
        }
    }

    /** Reads all elements into a direct buffer, position to limit, which stay as they are. */
    public void read(FloatBuffer values) {
        check(values.remaining());
        Direct.require(name, values, values.order());
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_read(session.pointer, key, values, count * Float.BYTES));
        } finally {
            session.handle.exit();
        }
    }

    /** Reads all elements into memory that the caller owns: {@code bytes} writable bytes at an address. */
    public void read(long address, long bytes) {
        if (address == 0 || bytes != count * Float.BYTES) {
            throw new IllegalArgumentException(
                    name + " has " + count * Float.BYTES + " bytes, room for " + bytes + " came at address " + address);
        }
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_read(session.pointer, key, address, bytes));
        } finally {
            session.handle.exit();
        }
    }

    private FloatBuffer staging() {
        if (staging == null) {
            staging = Direct.floats(count);
        }
        return staging;
    }

    private void check(long elements) {
        if (elements != count) {
            throw new IllegalArgumentException(name + " has " + count + " elements, room for " + elements + " came");
        }
    }
}
