package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * A plan bound to memory, with the numbers that vary from step to step. Write the inputs, set numbers, run, read.
 *
 * <p>A run is one native call. Numbers and results lie in memory that Java reads and writes itself, and with
 * {@link PlanInput#writeAhead} the inputs of the next run travel in that call too, on a GPU while it computes.
 *
 * <p>One thread at a time: a second one at the same moment gets an {@link IllegalStateException}, as does any use after
 * close. Running, setting numbers and reading results allocates nothing.
 */
public sealed class Session extends StepNumbers implements AutoCloseable permits Plan {
    private final PlanOptions options;
    private final List<String> losses;
    private final Map<String, PlanInput> inputs = new HashMap<>();
    private final Map<String, PlanOutput> outputs = new HashMap<>();
    private final FloatBuffer loss;
    private final FloatBuffer correct;
    private final FloatBuffer gradientNorm;
    private final DoubleBuffer hostSeconds;
    private final DoubleBuffer updateNorms;
    // Of all inputs: names, one a line; addresses of what is ahead, 0 where nothing is; bytes.
    private final ByteBuffer names;
    private final LongBuffer addresses;
    private final LongBuffer sizes;
    private boolean ahead;

    Session(Plan.Compiled plan, Workspace workspace) {
        super(plan, workspace);
        options = plan.options();
        losses = plan.graph().losses();
        loss = part("loss").asFloatBuffer();
        correct = part("correct").asFloatBuffer();
        gradientNorm = part("gradient_norm").asFloatBuffer();
        hostSeconds = part("host_seconds").asDoubleBuffer();
        updateNorms = options.watch() ? part("update_norms").asDoubleBuffer() : null;
        List<Input> all = plan.graph().inputs();
        names = Text.direct(all.stream().map(Input::name).collect(Collectors.joining("\n")));
        addresses = Direct.bytes((long) all.size() * Long.BYTES).asLongBuffer();
        sizes = Direct.bytes((long) all.size() * Long.BYTES).asLongBuffer();
        for (Input i : all) {
            PlanInput input = new PlanInput(this, i, options.batch(), inputs.size());
            sizes.put(inputs.size(), input.bytes());
            inputs.put(i.name(), input);
        }
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
            Status.check(Graft.graft_session_turn(pointer, phases, names, addresses, sizes, ahead ? addresses.capacity() : 0));
        } finally {
            for (int i = 0; ahead && i < addresses.capacity(); i++) {
                addresses.put(i, 0);
            }
            ahead = false;
            handle.exit();
        }
    }

    /** The coming run takes this input for the run after it. For a thread that has entered. */
    void ahead(int input, long address) {
        addresses.put(input, address);
        ahead = true;
    }

    /** The first loss of the last run; see {@link #loss(int)}. */
    public double loss() {
        return loss(0);
    }

    /** A loss of the last run, before its weight in the sum; index as in {@link Graph#losses()}. */
    public double loss(int index) {
        return result(loss, index);
    }

    /** Rows of the last run whose largest logit is the target, by weight, of the first loss. */
    public double correct() {
        return correct(0);
    }

    /** Rows of the last run whose largest logit is the target, by weight; index as in {@link Graph#losses()}. */
    public double correct(int index) {
        return result(correct, index);
    }

    /** Norm of all gradients together at the last update, before clipping; in plans compiled with clip, else 0. */
    public double gradientNorm() {
        return result(gradientNorm, 0);
    }

    /** Seconds of the last run in which the calling thread did something else than wait for a GPU; 0 on the CPU, where it computes. */
    public double hostSeconds() {
        handle.enterAlone();
        try {
            return hostSeconds.get(0);
        } finally {
            handle.exit();
        }
    }

    private double result(FloatBuffer results, int index) {
        if (index < 0 || index >= results.capacity()) {
            throw new IllegalArgumentException("loss " + index + " does not exist; the plan's losses are " + losses);
        }
        handle.enterAlone();
        try {
            return results.get(index);
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
        if (updateNorms == null) {
            throw new IllegalArgumentException("the plan was compiled without watch: it does not measure its updates");
        }
        double[] norms = new double[updateNorms.capacity()];
        handle.enterAlone();
        try {
            for (int i = 0; i < norms.length; i++) {
                norms[i] = Math.sqrt(updateNorms.get(i));
            }
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
