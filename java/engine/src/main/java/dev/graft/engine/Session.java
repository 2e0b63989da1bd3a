package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import java.nio.DoubleBuffer;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A plan bound to memory, with the numbers that vary from step to step. Write the inputs, set numbers, run, read.
 *
 * <p>One thread at a time: a second one at the same moment gets an {@link IllegalStateException}, as does any use after
 * close. Running, setting numbers and reading results allocates nothing.
 */
public sealed class Session extends StepNumbers implements AutoCloseable permits Plan {
    private final PlanOptions options;
    private final List<String> losses;
    private final Map<String, PlanInput> inputs = new HashMap<>();
    private final Map<String, PlanOutput> outputs = new HashMap<>();
    private final DoubleBuffer results;

    Session(Plan.Compiled plan, Workspace workspace) {
        super(plan, workspace);
        options = plan.options();
        losses = plan.graph().losses();
        results = Direct.bytes((2L * losses.size() + 1) * Double.BYTES).asDoubleBuffer();
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

    /**
     * One training step: forward, gradients, update. Where a loss is NaN or infinite nothing is updated, so that
     * {@link #findNonFinite} finds where it began; statistics that are tracked follow the batch all the same.
     */
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

    /** Norm of all gradients together at the last update, before clipping; in plans compiled with clip, else 0. */
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
