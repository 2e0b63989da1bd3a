package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_session;
import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A plan bound to memory, with the numbers that vary from step to step. Write the inputs, set numbers, run, read.
 *
 * <p>One thread at a time: a second one at the same moment gets an {@link IllegalStateException}, as does any use after
 * close. Running, setting numbers and reading results allocates nothing.
 */
public sealed class Session implements AutoCloseable permits Plan {
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
    private final PlanOptions options;
    private final List<String> losses;
    private final Map<String, PlanInput> inputs = new HashMap<>();
    private final Map<String, PlanOutput> outputs = new HashMap<>();
    private final DoubleBuffer results;
    private final FloatBuffer rowWeights;
    private final LongBuffer rowIds;

    Session(Plan.Compiled plan, Workspace workspace) {
        options = plan.options();
        losses = plan.graph().losses();
        results = Direct.bytes((2L * losses.size() + 1) * Double.BYTES).asDoubleBuffer();
        rowWeights = Direct.floats(options.batch());
        rowIds = Direct.bytes((long) options.batch() * Long.BYTES).asLongBuffer();
        plan.handle().enter();
        Workspace own = workspace == null ? plan.parameters().device().workspace() : null;
        try {
            Workspace used = own == null ? workspace : own;
            used.handle.enter();
            try {
                Status.check(Graft.graft_session_create(plan.pointer(), used.pointer, pointer));
            } finally {
                used.handle.exit();
            }
            graft_session freed = pointer;
            handle = new Handle("session", plan.handle(), () -> Graft.graft_session_close(freed));
        } finally {
            if (own != null) {
                own.close();
            }
            plan.handle().exit();
        }
        plan.graph().inputs().forEach(i -> inputs.put(i.name(), new PlanInput(this, i, options.batch())));
    }

    /**
     * The input of this name; the same object every time.
     *
     * @throws IllegalArgumentException where the graph has no such input
     */
    public PlanInput input(String name) {
        PlanInput input = inputs.get(name);
        if (input == null) {
            throw new IllegalArgumentException("plan has no input named " + name + "; it has " + inputs.keySet());
        }
        return input;
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
        if (valid < 1 || valid > options.batch()) {
            throw new IllegalArgumentException(
                    "valid rows must be between 1 and the batch " + options.batch() + ", got " + valid);
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
        if (length != options.batch()) {
            throw new IllegalArgumentException(
                    "row " + what + " must be as long as the batch, " + options.batch() + ", got " + length);
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

    /** One training step: forward, gradients, update. */
    public void step() {
        run(Graft.GRAFT_STEP);
    }

    /** Forward only. */
    public void forward() {
        run(Graft.GRAFT_FORWARD);
    }

    /** Forward and gradients, which replace or, in plans compiled with accumulate, add to those before. */
    public void gradients() {
        run(Graft.GRAFT_FORWARD | Graft.GRAFT_GRADIENTS);
    }

    /** One update of the optimizer with the gradients that stand. */
    public void update() {
        run(Graft.GRAFT_UPDATE);
    }

    private void run(int phases) {
        handle.enterAlone();
        try {
            Status.check(Graft.graft_session_run(pointer, phases));
        } finally {
            handle.exit();
        }
    }

    /** The first loss of the last run; see {@link #loss(int)}. */
    public double loss() {
        return loss(0);
    }

    /** A loss of the last run, before its weight in the sum; index as in {@link Graph#losses()}. */
    public double loss(int index) {
        return result(index, index, losses.size());
    }

    /** Rows of the last run whose largest logit is the target, by weight, of the first loss. */
    public double correct() {
        return correct(0);
    }

    /** Rows of the last run whose largest logit is the target, by weight; index as in {@link Graph#losses()}. */
    public double correct(int index) {
        return result(losses.size() + index, index, losses.size());
    }

    /** Norm of all gradients together at the last update, before clipping. */
    public double gradientNorm() {
        return result(2 * losses.size(), 0, 1);
    }

    private double result(int at, int index, int count) {
        if (index < 0 || index >= count) {
            throw new IllegalArgumentException("loss " + index + " does not exist; the plan's losses are " + losses);
        }
        handle.enterAlone();
        try {
            Status.check(Graft.graft_session_results(pointer, results, results.capacity()));
            return results.get(at);
        } finally {
            handle.exit();
        }
    }

    /**
     * A value that can be read after a run: an output, a kept node, or {@code "gradient:NAME"} of a trainable parameter or
     * of a kept node. The same object every time.
     *
     * @throws IllegalArgumentException where the plan has no such value
     */
    public PlanOutput output(String name) {
        handle.enterAlone();
        try {
            PlanOutput output = outputs.get(name);
            if (output == null) {
                output = new PlanOutput(this, name);
                outputs.put(name, output);
            }
            return output;
        } finally {
            handle.exit();
        }
    }

    /** Elements of {@link #output}, all rows of the batch. */
    public float[] read(String name) {
        return output(name).read();
    }

    /** The last gradient of a trainable parameter or of a kept node. */
    public float[] gradient(String name) {
        return read("gradient:" + name);
    }

    /** Sizes of the last update, in plans compiled with watch: |update| and |weight| of each trainable, in their order. */
    public double[] updateNorms() {
        double[] norms = new double[2 * options.trainables().size()];
        handle.enterAlone();
        try {
            Status.check(Graft.graft_session_update_norms(pointer, norms, norms.length));
        } finally {
            handle.exit();
        }
        return norms;
    }

    /** Runs once more, step by step; the name of the first value with a NaN or infinity, "" where all are finite. */
    public String findNonFinite() {
        int phases = phases();
        return text((text, capacity, needed) ->
                Graft.graft_session_find_nonfinite(pointer, phases, text, capacity, needed));
    }

    /** Runs once, without an update, with a clock around each step. JSON: microseconds per step. */
    public String profile() {
        int phases = phases();
        return text((text, capacity, needed) -> Graft.graft_session_profile(pointer, phases, text, capacity, needed));
    }

    private int phases() {
        return options.trainables().isEmpty() ? Graft.GRAFT_FORWARD : Graft.GRAFT_FORWARD | Graft.GRAFT_GRADIENTS;
    }

    private String text(Text.Writer writer) {
        handle.enterAlone();
        try {
            return Text.read(writer);
        } finally {
            handle.exit();
        }
    }

    /** Closes the session. */
    @Override
    public void close() {
        handle.close();
    }
}
