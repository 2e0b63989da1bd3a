package dev.graft.finetune;

/** What becomes of the head that a weight file brings. */
public enum HeadChoice {
    /** Kept when its class names are the data's or, where the file has none, when their number is; else new. Never kept by {@code head} and {@code scratch}. */
    AUTO,
    /** Kept; the number of classes must agree. */
    KEEP,
    /** Made new in the model's own form. */
    NEW
}
