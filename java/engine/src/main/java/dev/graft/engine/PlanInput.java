package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import org.bytedeco.javacpp.Pointer;

/**
 * One input of a session. Writing copies all rows of the batch, row-major, in the input's own type; rows beyond the valid
 * ones may hold anything finite. Nothing is kept of what was passed. For the session's thread.
 *
 * <p>Direct buffers and addresses are copied once. Arrays go through a direct buffer that is made at the first such call.
 * Buffers must be direct and in native byte order, are read from position to limit, and keep both. But for that first call
 * nothing is allocated.
 */
public final class PlanInput {
    private final Session session;
    private final Input input;
    private final long count;
    private final ByteBuffer key;
    private final int place;
    private Buffer staging;
    private Buffer aheadStaging;
    // The latest buffers that went ahead, and where they are: loaders use few of them again and again.
    private final Buffer[] known = new Buffer[4];
    private final long[] knownAt = new long[known.length];
    private int oldest;

    /** @param place among the inputs of the graph */
    PlanInput(Session session, Input input, int batch, int place) {
        this.session = session;
        this.input = input;
        this.place = place;
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
            if (staging == null) {
                staging = Direct.bytes(bytes()).asFloatBuffer();
            }
            copy(((FloatBuffer) staging).put(0, values));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes an I32 input. */
    public void write(int[] values) {
        check(values.length, DType.I32);
        session.handle.enterAlone();
        try {
            if (staging == null) {
                staging = Direct.bytes(bytes()).asIntBuffer();
            }
            copy(((IntBuffer) staging).put(0, values));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes an I64 input. */
    public void write(long[] values) {
        check(values.length, DType.I64);
        session.handle.enterAlone();
        try {
            if (staging == null) {
                staging = Direct.bytes(bytes()).asLongBuffer();
            }
            copy(((LongBuffer) staging).put(0, values));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes a U8 input. */
    public void write(byte[] values) {
        check(values.length, DType.U8);
        session.handle.enterAlone();
        try {
            if (staging == null) {
                staging = Direct.bytes(bytes());
            }
            copy(((ByteBuffer) staging).put(0, values));
        } finally {
            session.handle.exit();
        }
    }

    /** Writes an F32 input from a direct buffer. */
    public void write(FloatBuffer values) {
        check(values.remaining(), DType.F32);
        Direct.require(name(), values, values.order());
        send(values);
    }

    /** Writes an I32 input from a direct buffer. */
    public void write(IntBuffer values) {
        check(values.remaining(), DType.I32);
        Direct.require(name(), values, values.order());
        send(values);
    }

    /** Writes an I64 input from a direct buffer. */
    public void write(LongBuffer values) {
        check(values.remaining(), DType.I64);
        Direct.require(name(), values, values.order());
        send(values);
    }

    /** Writes an input of any type from a direct buffer of its bytes, whatever that buffer's byte order says. */
    public void write(ByteBuffer values) {
        if (values.remaining() != bytes()) {
            throw new IllegalArgumentException(
                    "input " + name() + " takes " + bytes() + " bytes, " + values.remaining() + " came");
        }
        Direct.require(name(), values);
        send(values);
    }

    /**
     * Writes a part of a resident input ({@link PlanOptions#resident}) from a direct buffer of its bytes.
     *
     * @param offset the first byte of the input that is written
     */
    public void write(long offset, ByteBuffer values) {
        Direct.require(name(), values);
        session.handle.enterAlone();
        try {
            Status.check(Graft.graft_session_write_part(session.pointer, name(), offset, address(values) + values.position(), values.remaining()));
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

    /**
     * Writes an F32 input of the run after the coming one, which takes it: no call of its own, and on a GPU the coming run computes
     * meanwhile. The buffer must stay as it is until that run has returned. Where the coming run fails or a loss of it is not finite
     * nothing is taken; another writeAhead before it replaces what was to be taken.
     */
    public void writeAhead(FloatBuffer values) {
        check(values.remaining(), DType.F32);
        Direct.require(name(), values, values.order());
        ahead(values, Float.BYTES);
    }

    /** Writes an I32 input of the run after the coming one, see {@link #writeAhead(FloatBuffer)}; the array may be changed at once. */
    public void writeAhead(int[] values) {
        check(values.length, DType.I32);
        if (aheadStaging == null) {
            aheadStaging = Direct.bytes(bytes()).asIntBuffer();
        }
        ahead(((IntBuffer) aheadStaging).put(0, values), Integer.BYTES);
    }

    private void ahead(Buffer values, int width) {
        session.handle.enterAlone();
        try {
            session.ahead(place, address(values) + (long) values.position() * width);
        } finally {
            session.handle.exit();
        }
    }

    private long address(Buffer values) {
        for (int i = 0; i < known.length; i++) {
            if (known[i] == values) {
                return knownAt[i];
            }
        }
        int at = oldest;
        oldest = (oldest + 1) % known.length;
        known[at] = values;
        knownAt[at] = new Pointer(values).address();
        return knownAt[at];
    }

    private void send(Buffer values) {
        session.handle.enterAlone();
        try {
            copy(values);
        } finally {
            session.handle.exit();
        }
    }

    private void copy(Buffer values) {
        int status;
        if (values instanceof FloatBuffer floats) {
            status = Graft.graft_session_write(session.pointer, key, floats, bytes());
        } else if (values instanceof IntBuffer ints) {
            status = Graft.graft_session_write(session.pointer, key, ints, bytes());
        } else if (values instanceof LongBuffer longs) {
            status = Graft.graft_session_write(session.pointer, key, longs, bytes());
        } else {
            status = Graft.graft_session_write(session.pointer, key, (ByteBuffer) values, bytes());
        }
        Status.check(status);
    }

    long bytes() {
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
