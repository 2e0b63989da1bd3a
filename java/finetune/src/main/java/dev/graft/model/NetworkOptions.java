package dev.graft.model;

/**
 * What a network is built for.
 *
 * @param imageSize pixels a side
 * @param classes number of logits
 * @param dropout rate before the head; NaN for the model's own
 * @param dropPath largest rate of stochastic depth, that of the last block; 0 for none
 */
public record NetworkOptions(int imageSize, int classes, double dropout, double dropPath) {
    /** Checks the ranges. */
    public NetworkOptions {
        if (imageSize < 1 || classes < 1) {
            throw new IllegalArgumentException("image size and classes must be at least 1, got " + imageSize + " and " + classes);
        }
        if (!(dropPath >= 0 && dropPath < 1)) {
            throw new IllegalArgumentException("drop-path is " + dropPath + ", expected 0 to below 1");
        }
    }

    /** The model's own dropout, no stochastic depth. */
    public static NetworkOptions of(int imageSize, int classes) {
        return new NetworkOptions(imageSize, classes, Double.NaN, 0);
    }
}
