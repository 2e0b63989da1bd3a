package dev.graft.predict;

import dev.graft.engine.Plan;
import dev.graft.engine.Session;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.function.Function;

/**
 * Lends the sessions of one plan to concurrent callers: each has a session, and with it a workspace, of its own. At most
 * one more than the device has lanes, so that one caller can write its pixels while the lanes compute; further ones wait.
 */
final class Sessions {
    private final Plan plan;
    private final Semaphore permits;
    private final ConcurrentLinkedQueue<Session> idle = new ConcurrentLinkedQueue<>();

    Sessions(Plan plan) {
        this.plan = plan;
        this.permits = new Semaphore(plan.parameters().device().lanes() + 1, true);
        idle.add(plan);
    }

    /** What {@code work} answers on a session that nobody else uses meanwhile. */
    <T> T with(Function<Session, T> work) {
        permits.acquireUninterruptibly();
        try {
            Session lent = idle.poll();
            Session session = lent == null ? plan.session() : lent;
            try {
                return work.apply(session);
            } finally {
                idle.add(session);
            }
        } finally {
            permits.release();
        }
    }
}
