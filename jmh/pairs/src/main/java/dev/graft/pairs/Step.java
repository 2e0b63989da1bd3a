package dev.graft.pairs;

/** One unit of measured work: a training step, an optimizer update, a loss with its gradient. */
@FunctionalInterface
public interface Step {
    /**
     * Does the work and waits for it.
     *
     * @return the loss before the step's update, or 0 where the workload has none
     */
    double run();

    /**
     * What counts of the last run, in milliseconds, where that is only a part of it; negative where all of it counts.
     * For work that cannot be called alone.
     */
    default double countedMilliseconds() {
        return -1;
    }
}
