package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_session;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;

/**
 * The numbers of a {@link Session} that may change from step to step, without another compile: rates and decays per group,
 * weights of rows and losses, what random numbers are keyed by. Each holds until it is set again.
 */
public abstract sealed class StepNumbers permits Session {
    private static final ByteBuffer RATE = Text.direct("rate");
    private static final ByteBuffer DECAY = Text.direct("decay");
    private static final ByteBuffer ANCHOR = Text.direct("anchor");
    private static final ByteBuffer LOSS_WEIGHT = Text.direct("loss_weight");
    private static final ByteBuffer SEED = Text.direct("seed");
    private static final ByteBuffer VISIT = Text.direct("visit");
    private static final ByteBuffer NORMALIZER = Text.direct("normalizer");
    private static final ByteBuffer CLIP = Text.direct("clip");
    private static final ByteBuffer UPDATES = Text.direct("updates");
    private static final long LARGEST_SEED = 1L << 53;

    final graft_session pointer = new graft_session(null);
    final Handle handle;
    private final int batch;
    private final FloatBuffer rowWeights;
    private final LongBuffer rowIds;

    /** Opens a native session; without a workspace in one of its own. */
    StepNumbers(Plan.Compiled plan, Workspace workspace) {
        batch = plan.options().batch();
        rowWeights = Direct.floats(batch);
        rowIds = Direct.bytes((long) batch * Long.BYTES).asLongBuffer();
        if (workspace != null) {
            handle = open(plan, workspace);
        } else {
            // The native session keeps its workspace alive, so the handle to it can go at once.
            try (Workspace own = plan.parameters().device().workspace()) {
                handle = open(plan, own);
            }
        }
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
        handle.enterAlone();
        try {
            if (weights != null) {
                rowWeights.put(0, weights, 0, batchLong("weights", weights.length));
            }
            if (ids != null) {
                rowIds.put(0, ids, 0, batchLong("ids", ids.length));
            }
            Status.check(Graft.graft_session_rows(pointer, valid, weights == null ? null : rowWeights,
                    ids == null ? null : rowIds));
        } finally {
            handle.exit();
        }
    }

    private int batchLong(String what, int length) {
        if (length != batch) {
            throw new IllegalArgumentException(
                    "row " + what + " must be as long as the batch, " + batch + ", got " + length);
        }
        return length;
    }

    /** Learning rate of a group. Zero until it is set. */
    public void rate(int group, double rate) {
        set(RATE, group, rate);
    }

    /** Weight decay of a group. */
    public void decay(int group, double decay) {
        set(DECAY, group, decay);
    }

    /** Strength of the pull of a group's weights to those of their files; without a file, to zero (L2-SP). */
    public void anchor(int group, double strength) {
        set(ANCHOR, group, strength);
    }

    /** Weight of a loss in the sum whose gradient is taken; 1 until it is set. Index as in {@link Graph#losses()}. */
    public void lossWeight(int loss, double weight) {
        set(LOSS_WEIGHT, loss, weight);
    }

    /** Seed of dropout, 0 to 2^53. With row ids and visit it fixes every random number. */
    public void seed(long seed) {
        if (seed < 0 || seed > LARGEST_SEED) {
            throw new IllegalArgumentException("seed must be between 0 and 2^53, got " + seed);
        }
        set(SEED, 0, seed);
    }

    /** How often the samples have been seen before: usually the epoch. */
    public void visit(int visit) {
        set(VISIT, 0, visit);
    }

    /** Rows that mean losses divide by; 0 = the valid rows of the run. For gradients accumulated over several runs. */
    public void normalizer(double rows) {
        set(NORMALIZER, 0, rows);
    }

    /** Largest norm of all gradients together before an update, in plans compiled with clip; 0 = no limit. */
    public void clip(double norm) {
        set(CLIP, 0, norm);
    }

    /** Updates made so far: what the next one's bias correction in Adam counts from. For resuming; shared by all plans. */
    public void updates(long count) {
        set(UPDATES, 0, count);
    }

    private void set(ByteBuffer key, int index, double value) {
        handle.enterAlone();
        try {
            Status.check(Graft.graft_session_set(pointer, key, index, value));
        } finally {
            handle.exit();
        }
    }
}
