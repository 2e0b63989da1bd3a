package dev.graft.engine;

/** What a plan is for. */
public enum Mode {
    /** Forward, gradients and update; dropout is active. */
    TRAIN,
    /** Forward only, in inference form: dropout does nothing, batch norm uses its running statistics. */
    EVAL
}
