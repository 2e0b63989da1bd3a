package dev.graft.predict;

import dev.graft.engine.Device;
import dev.graft.engine.Plan;
import dev.graft.engine.Session;
import dev.graft.engine.Workspace;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.function.Function;

/**
 * Lends memory to concurrent callers, whichever plan they run: each has a workspace of its own meanwhile, and all plans share
 * the workspaces. At most one more than the device has lanes, so that one caller can write its pixels while the lanes
 * compute; further ones wait.
 */
final class Workspaces implements AutoCloseable {
    private final Device device;
    private final Semaphore permits;
    private final Queue<Lent> idle = new ConcurrentLinkedQueue<>();
    private final Queue<Lent> all = new ConcurrentLinkedQueue<>();

    /** A workspace with a session of each plan that has run in it. */
    private record Lent(Workspace workspace, Map<Plan, Session> sessions) {}

    Workspaces(Device device) {
        this.device = device;
        this.permits = new Semaphore(device.lanes() + 1, true);
    }

    /** What {@code work} answers on a session of the plan that nobody else uses meanwhile. */
    <T> T with(Plan plan, Function<Session, T> work) {
        return lent(lent -> work.apply(lent.sessions.computeIfAbsent(plan, p -> p.session(lent.workspace))));
    }

    /** A plan that is compiled in a workspace which nobody else uses meanwhile: it may have to grow. */
    Plan plan(Function<Workspace, Plan> compile) {
        return lent(lent -> {
            Plan plan = compile.apply(lent.workspace);
            lent.sessions.put(plan, plan);
            return plan;
        });
    }

    /** Closes a plan and its sessions; none may be running. */
    void close(Plan plan) {
        plan.close();
        all.forEach(lent -> lent.sessions.remove(plan));
    }

    /** Closes the workspaces; the sessions are closed by their plans. */
    @Override
    public void close() {
        all.forEach(lent -> lent.workspace.close());
    }

    private <T> T lent(Function<Lent, T> work) {
        permits.acquireUninterruptibly();
        try {
            Lent found = idle.poll();
            Lent lent = found == null ? fresh() : found;
            try {
                return work.apply(lent);
            } finally {
                idle.add(lent);
            }
        } finally {
            permits.release();
        }
    }

    private Lent fresh() {
        Lent lent = new Lent(device.workspace(), new ConcurrentHashMap<>());
        all.add(lent);
        return lent;
    }
}
