package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;

/**
 * One input of a session. Writing copies all rows of the batch, row-major, in the input's own type; rows beyond the valid
 * ones may hold anything finite. Nothing is kept of what was passed. Nothing is allocated. For the session's thread.
 *
 * <p>Arrays are pinned for the length of the copy. Buffers must be direct and in native byte order, are read from position
 * to limit, and keep both.
 */
public final class PlanInput {
    private final Session session;
    private final Input input;
    private final long count;
    private final ByteBuffer key;

    PlanInput(Session session, Input input, int batch) {
        this.session = session;
        this.input = input;
        this.key = Text.direct(input.name());
        long n = 1;
        for (long d : input.dims()) {
            n = Math.multiplyExact(n, d == 0 ? batch : d);
        }
        this.count = n;
    }

    /** Name of the input. */
    public String name() {
        return input.name();
    }

    /** Type of its elements. */
    public DType dtype() {
        return input.dtype();
    }

    /** Elements of a whole batch. */
    public long count() {
        return count;
    }

    /** Writes an F32 input. */
    public void write(float[] values) {
        check(values.length, DType.F32);
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_write(session.pointer, key, values, bytes()));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes an I32 input. */
    public void write(int[] values) {
        check(values.length, DType.I32);
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_write(session.pointer, key, values, bytes()));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes an I64 input. */
    public void write(long[] values) {
        check(values.length, DType.I64);
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_write(session.pointer, key, values, bytes()));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes a U8 input. */
    public void write(byte[] values) {
        check(values.length, DType.U8);
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_write(session.pointer, key, values, bytes()));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes an F32 input. */
    public void write(FloatBuffer values) {
        check(values.remaining(), DType.F32);
        FloatBuffers.direct(name(), values);
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_write(session.pointer, key, values, bytes()));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes an I32 input. */
    public void write(IntBuffer values) {
        check(values.remaining(), DType.I32);
        FloatBuffers.requireDirect(name(), values);
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_write(session.pointer, key, values, bytes()));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes an I64 input. */
    public void write(LongBuffer values) {
        check(values.remaining(), DType.I64);
        FloatBuffers.requireDirect(name(), values);
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_write(session.pointer, key, values, bytes()));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes an input of any type from its bytes. */
    public void write(ByteBuffer values) {
        if (values.remaining() != bytes()) {
            throw new IllegalArgumentException(
                    "input " + name() + " takes " + bytes() + " bytes, " + values.remaining() + " came");
        }
        FloatBuffers.requireDirect(name(), values);
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_write(session.pointer, key, values, bytes()));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes an input of any type from memory that the caller owns: {@code bytes} readable bytes at an address. */
    public void write(long address, long bytes) {
        if (address == 0 || bytes != bytes()) {
            throw new IllegalArgumentException("input " + name() + " takes " + bytes() + " bytes, " + bytes
                    + " came at address " + address);
        }
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_write(session.pointer, key, address, bytes));
        } finally {
            session.handle.exit();
        }
    }

    private long bytes() {
        return count * input.dtype().bytes();
    }

    private void check(long elements, DType type) {
        if (type != input.dtype()) {
            throw new IllegalArgumentException("input " + name() + " is " + input.dtype() + ", " + type + " came");
        }
        if (elements != count) {
            throw new IllegalArgumentException(
                    "input " + name() + " takes " + count + " elements, " + elements + " came");
        }
    }
}
