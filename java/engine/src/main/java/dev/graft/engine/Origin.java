package dev.graft.engine;

/** Where a parameter comes from; it travels with the parameter into descriptions and saved files. */
public enum Origin {
    /** Read from a pretrained checkpoint. */
    CHECKPOINT,
    /** Made new for the task. */
    HEAD,
    /** Added by a fine-tuning method. */
    METHOD
}
