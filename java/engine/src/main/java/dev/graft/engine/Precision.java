package dev.graft.engine;

/** What a plan computes in. Accumulation, statistics, losses, master weights and moments are F32 either way. */
public enum Precision {
    /** IEEE single precision. */
    F32,
    /** bfloat16 operands of products and stored activations; {@link Plan#describe()} tells where it is not to be had. */
    BF16
}
