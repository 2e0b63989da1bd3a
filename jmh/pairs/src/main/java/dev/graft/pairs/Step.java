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
}
