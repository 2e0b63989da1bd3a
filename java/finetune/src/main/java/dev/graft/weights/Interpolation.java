package dev.graft.weights;

/** Filter of the resize in a {@link Card}; both are antialiased, as Pillow's are. */
public enum Interpolation {
    BILINEAR, BICUBIC
}
