package dev.graft.model;

import dev.graft.weights.Card;

/**
 * A published network by name: how to build it and what its checkpoints expect.
 *
 * @param name the published name, such as {@code resnet18}
 * @param imageSize pixels a side that it was published for
 * @param classes classes of the published checkpoints
 * @param card preprocessing where nothing else says one
 * @param builder makes the network
 */
public record Architecture(String name, int imageSize, int classes, Card card, Builder builder) {
    /** Builds a network of a size and a class count. */
    @FunctionalInterface
    public interface Builder {
        /**
         * @param imageSize pixels a side
         * @param classes number of logits, at least 1
         * @param dropout rate before the head; NaN for the model's own
         */
        Network build(int imageSize, int classes, double dropout);
    }

    /** The network for a class count, with the model's own dropout. */
    public Network network(int imageSize, int classes) {
        return network(imageSize, classes, Double.NaN);
    }

    /** The network for a class count and a dropout rate; NaN for the model's own. */
    public Network network(int imageSize, int classes, double dropout) {
        if (imageSize < 1 || classes < 1) {
            throw new IllegalArgumentException(name + ": image size and classes must be at least 1, got " + imageSize + " and " + classes);
        }
        return builder.build(imageSize, classes, dropout);
    }
}
