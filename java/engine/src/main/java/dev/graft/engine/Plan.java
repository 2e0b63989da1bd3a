package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_plan;
import java.util.Objects;

/**
 * A graph compiled for what is trainable, a batch and a precision: a flat list of prepared kernel calls, run by one native
 * call per step. What is frozen has no backward pass, no gradient and no optimizer state.
 *
 * <p>A plan is a {@link Session} of its own; {@link #session()} makes more, so that several threads can run one plan.
 * Owned by the parameters, it owns its sessions. {@link #describe()}, {@link #memory()} and {@link #session()} are safe for
 * any number of threads; what it inherits from Session is for one thread at a time.
 */
public final class Plan extends Session {
    private static final System.Logger LOG = System.getLogger(Plan.class.getName());

    private final Compiled compiled;

    private Plan(Compiled compiled, Workspace workspace) {
        super(compiled, workspace);
        this.compiled = compiled;
    }

    /** The native plan and what it was made of. */
    record Compiled(graft_plan pointer, Handle handle, Graph graph, Parameters parameters, PlanOptions options, Precision precision) {}

    /** Compiles a plan with a workspace of its own. */
    public static Plan compile(Graph graph, Parameters parameters, PlanOptions options) {
        return compile(graph, parameters, options, null);
    }

    /**
     * Compiles a plan.
     *
     * @param workspace memory shared with plans that never run at the same time; null for its own
     * @throws IllegalArgumentException where graph, parameters and options do not fit together; names the node or line
     * @throws OutOfDeviceMemoryException where it would not fit; told before anything is allocated
     */
    public static Plan compile(Graph graph, Parameters parameters, PlanOptions options, Workspace workspace) {
        Objects.requireNonNull(options, "options");
        Device device = parameters.device();
        parameters.handle.enter();
        try (NativeGraph nativeGraph = new NativeGraph(graph, options.batch())) {
            graft_plan pointer = new graft_plan(null);
            Status.check(Graft.graft_plan_compile(device.pointer, nativeGraph.pointer(), parameters.pointer,
                    options.text(), pointer));
            Handle handle = new Handle("plan of " + graph, parameters.handle, () -> Graft.graft_plan_close(pointer));
            try {
                int[] code = new int[1];
                Status.check(Graft.graft_plan_precision(pointer, code));
                Precision precision = code[0] == Graft.GRAFT_BF16 ? Precision.BF16 : Precision.F32;
                if (precision != options.precision()) {
                    LOG.log(System.Logger.Level.WARNING, "this processor has no bf16 arithmetic: the plan computes in F32");
                }
                return new Plan(new Compiled(pointer, handle, graph, parameters, options, precision), workspace);
            } catch (RuntimeException e) {
                handle.close();
                throw e;
            }
        } finally {
            parameters.handle.exit();
        }
    }

    /** The graph that was compiled. */
    public Graph graph() {
        return compiled.graph;
    }

    /** What it was compiled for. */
    public PlanOptions options() {
        return compiled.options;
    }

    /** What it computes in: F32 although BF16 was asked for where the processor has none, which is logged. */
    public Precision precision() {
        return compiled.precision;
    }

    /** The parameters that it reads and, where it trains, updates. */
    public Parameters parameters() {
        return compiled.parameters;
    }

    /** Another independent session with a workspace of its own, for another thread. */
    public Session session() {
        return new Session(compiled, null);
    }

    /** Another session in a given workspace. */
    public Session session(Workspace workspace) {
        return new Session(compiled, Objects.requireNonNull(workspace, "workspace"));
    }

    /** JSON: every step with its node, pass, kernel, operands and bytes. */
    public String describe() {
        compiled.handle.enter();
        try {
            return Text.read((text, capacity, needed) ->
                    Graft.graft_plan_describe(compiled.pointer, text, capacity, needed));
        } finally {
            compiled.handle.exit();
        }
    }

    /** JSON: bytes per group. */
    public String memory() {
        compiled.handle.enter();
        try {
            return Text.read((text, capacity, needed) ->
                    Graft.graft_plan_memory(compiled.pointer, text, capacity, needed));
        } finally {
            compiled.handle.exit();
        }
    }

    /** Closes the sessions, then the plan. */
    @Override
    public void close() {
        compiled.handle.close();
    }

    @Override
    public String toString() {
        PlanOptions o = compiled.options;
        return "Plan[" + o.mode() + ", " + o.precision() + ", batch " + o.batch() + ", " + o.trainables().size()
                + " trainable of " + compiled.graph + "]";
    }
}
