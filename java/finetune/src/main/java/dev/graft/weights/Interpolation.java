package dev.graft.weights;

/** Filter of the resize in a {@link Card}; both are antialiased, as Pillow's are. */
public enum Interpolation {
    /** Triangle, support 1. */
    BILINEAR,
    /** Keys's cubic with a = -0.5, support 2. */
    BICUBIC
}
