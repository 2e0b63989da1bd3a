package dev.graft.train;

/** The loss became NaN or infinite. The parameters hold the values of the last good epoch again. */
public final class Diverged extends RuntimeException {
    private static final long serialVersionUID = 1;

    Diverged(String message) {
        super(message);
    }
}
