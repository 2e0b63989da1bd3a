package dev.graft.engine;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Plans of one parameter store, compiled when first asked for and kept by graph and options: one per batch size, for
 * example. All of them run in one workspace, so only one at a time does.
 *
 * <p>Owns the plans and the workspace. For one thread, that of the plans' sessions.
 */
public final class PlanCache implements AutoCloseable {
    private final Parameters parameters;
    private final Workspace workspace;
    private final Map<Key, Plan> plans = new LinkedHashMap<>();

    private record Key(Graph graph, PlanOptions options) {}

    /** A cache over these parameters, with a new workspace. */
    public PlanCache(Parameters parameters) {
        this.parameters = parameters;
        this.workspace = parameters.device().workspace();
    }

    /** The plan for a graph and options; equal ones give the same plan. */
    public Plan plan(Graph graph, PlanOptions options) {
        return plans.computeIfAbsent(new Key(graph, options),
                key -> Plan.compile(key.graph, parameters, key.options, workspace));
    }

    /** Plans held. */
    public int size() {
        return plans.size();
    }

    /** Closes all plans; the next one asked for is compiled anew. */
    public void clear() {
        plans.values().forEach(Plan::close);
        plans.clear();
    }

    /** Closes all plans and the workspace. */
    @Override
    public void close() {
        clear();
        workspace.close();
    }
}
