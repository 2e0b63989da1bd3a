package dev.graft.tune;

/** Which statistics batch norms use while training. */
public enum BatchNormPolicy {
    /** A norm whose scale trains uses its batch and follows it; a frozen one uses its stored statistics. */
    AUTO,
    /** Stored statistics everywhere, never changed. */
    FROZEN,
    /** Batch statistics everywhere, in frozen layers too. */
    TRAIN
}
