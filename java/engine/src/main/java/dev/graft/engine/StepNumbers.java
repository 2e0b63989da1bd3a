package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_session;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;

/**
 * The numbers of a {@link Session} that may change from step to step, without another compile: rates and decays per group,
 * weights of rows and losses, what random numbers are keyed by. Each holds until it is set again.
 */
public abstract sealed class StepNumbers permits Session {
    private static final long LARGEST_SEED = 1L << 53;

    final graft_session pointer = new graft_session(null);
    final Handle handle;
    private final int batch;
    // The session's own step block: what is put here the next run reads, without a native call.
    private final FloatBuffer rate;
    private final FloatBuffer decay;
    private final FloatBuffer anchor;
    private final FloatBuffer lossWeight;
    private final FloatBuffer normalizer;
    private final FloatBuffer clip;
    private final LongBuffer seed;
    private final IntBuffer visit;
    private final IntBuffer validRows;
    private final FloatBuffer rowWeight;
    private final LongBuffer rowId;

    /** Opens a native session; without a workspace in one of its own. */
    StepNumbers(Plan.Compiled plan, Workspace workspace) {
        batch = plan.options().batch();
        if (workspace != null) {
            handle = open(plan, workspace);
        } else {
            // The native session keeps its workspace alive, so the handle to it can go at once.
            try (Workspace own = plan.parameters().device().workspace()) {
                handle = open(plan, own);
            }
        }
        rate = part("rate").asFloatBuffer();
        decay = part("decay").asFloatBuffer();
        anchor = part("anchor").asFloatBuffer();
        lossWeight = part("loss_weight").asFloatBuffer();
        normalizer = part("normalizer").asFloatBuffer();
        clip = part("clip").asFloatBuffer();
        seed = part("seed").asLongBuffer();
        visit = part("visit").asIntBuffer();
        validRows = part("valid_rows").asIntBuffer();
        rowWeight = part("row_weight").asFloatBuffer();
        rowId = part("row_id").asLongBuffer();
    }

    /** Memory of the session itself, there until it is closed; only for a thread that has entered the handle. */
    final ByteBuffer part(String name) {
        BytePointer at = new BytePointer((Pointer) null);
        long[] bytes = new long[1];
        Status.check(Graft.graft_session_numbers(pointer, name, at, bytes));
        return (bytes[0] == 0 ? ByteBuffer.allocateDirect(0) : at.capacity(bytes[0]).asByteBuffer()).order(ByteOrder.nativeOrder());
    }

    private Handle open(Plan.Compiled plan, Workspace workspace) {
        plan.handle().enter();
        try {
            workspace.handle.enter();
            try {
                Status.check(Graft.graft_session_create(plan.pointer(), workspace.pointer, pointer));
            } finally {
                workspace.handle.exit();
            }
            graft_session freed = pointer;
            return new Handle("session", plan.handle(), () -> Graft.graft_session_close(freed));
        } finally {
            plan.handle().exit();
        }
    }

    /** The first {@code valid} rows count, each with weight 1; a row's number is its id. */
    public void rows(int valid) {
        rows(valid, null, null);
    }

    /**
     * Says which rows count in the runs that follow.
     *
     * @param valid rows from the first on; the others are padding
     * @param weights per row of the batch, how much its loss counts; null = 1
     * @param ids per row of the batch, the number of its sample, which keys its random numbers; null = the row's number
     */
    public void rows(int valid, float[] weights, long[] ids) {
        if (valid < 1 || valid > batch) {
            throw new IllegalArgumentException(
                    "valid rows must be between 1 and the batch " + batch + ", got " + valid);
        }
        requireBatchLong("weights", weights == null ? batch : weights.length);
        requireBatchLong("ids", ids == null ? batch : ids.length);
        handle.enterAlone();
        try {
            validRows.put(0, valid);
            for (int row = 0; row < batch; row++) {
                rowWeight.put(row, row >= valid ? 0 : weights == null ? 1 : weights[row]);
                rowId.put(row, ids == null ? row : ids[row]);
            }
        } finally {
            handle.exit();
        }
    }

    private void requireBatchLong(String what, int length) {
        if (length != batch) {
            throw new IllegalArgumentException(
                    "row " + what + " must be as long as the batch, " + batch + ", got " + length);
        }
    }

    /** Learning rate of a group. Zero until it is set. */
    public void rate(int group, double rate) {
        set("rate", this.rate, group, rate);
    }

    /** Weight decay of a group. */
    public void decay(int group, double decay) {
        set("decay", this.decay, group, decay);
    }

    /** Strength of the pull of a group's weights to those of their files; without a file, to zero (L2-SP). */
    public void anchor(int group, double strength) {
        set("anchor", anchor, group, strength);
    }

    /** Weight of a loss in the sum whose gradient is taken; 1 until it is set. Index as in {@link Graph#losses()}. */
    public void lossWeight(int loss, double weight) {
        set("loss_weight", lossWeight, loss, weight);
    }

    /** Seed of dropout, 0 to 2^53. With row ids and visit it fixes every random number. */
    public void seed(long seed) {
        if (seed < 0 || seed > LARGEST_SEED) {
            throw new IllegalArgumentException("seed must be between 0 and 2^53, got " + seed);
        }
        handle.enterAlone();
        try {
            this.seed.put(0, seed);
        } finally {
            handle.exit();
        }
    }

    /** How often the samples have been seen before: usually the epoch. */
    public void visit(int visit) {
        if (visit < 0) {
            throw new IllegalArgumentException("visit must not be negative, got " + visit);
        }
        handle.enterAlone();
        try {
            this.visit.put(0, visit);
        } finally {
            handle.exit();
        }
    }

    /** Rows that mean losses divide by; 0 = the valid rows of the run. For gradients accumulated over several runs. */
    public void normalizer(double rows) {
        set("normalizer", normalizer, 0, rows);
    }

    /** Largest norm of all gradients together before an update, in plans compiled with clip; 0 = no limit. */
    public void clip(double norm) {
        set("clip", clip, 0, norm);
    }

    /** Updates made so far: what the next one's bias correction in Adam counts from. For resuming; shared by all plans. */
    public void updates(long count) {
        handle.enterAlone();
        try {
            Status.check(Graft.graft_session_updates(pointer, count));
        } finally {
            handle.exit();
        }
    }

    private void set(String name, FloatBuffer numbers, int index, double value) {
        if (index < 0 || index >= numbers.capacity()) {
            throw new IllegalArgumentException(name + " of " + index + ": the plan has " + numbers.capacity());
        }
        if (!Double.isFinite(value)) {
            throw new IllegalArgumentException(name + " is " + value + "; expected a finite number");
        }
        handle.enterAlone();
        try {
            numbers.put(index, (float) value);
        } finally {
            handle.exit();
        }
    }
}
