package dev.graft.train;

/**
 * Where the batches of a plan come from. The inputs of the next one travel while a step computes, in the step's own native call:
 * {@code begin}, then {@code ahead}, a run, {@code advance} as often as there are batches. One thread.
 */
abstract class Batches implements AutoCloseable {
    /** Starts an epoch and writes its first batch into the plan. Returns its rows. */
    abstract int begin(int epoch);

    /** Has the coming run take the inputs of the batch after its own. Returns that one's rows, or 0 at the end of the epoch. */
    abstract int ahead();

    /** The rows that count are from here on those of the batch that went ahead. */
    abstract void advance();

    /** Seconds that were spent waiting for pictures so far. */
    double waitedSeconds() {
        return 0;
    }

    @Override
    public void close() {}
}
