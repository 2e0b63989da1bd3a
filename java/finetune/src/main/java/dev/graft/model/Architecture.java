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
    /** Builds a network. */
    @FunctionalInterface
    public interface Builder {
        /** The network. */
        Network build(NetworkOptions options);
    }

    /** The network for a class count, with the model's own dropout. */
    public Network network(int imageSize, int classes) {
        return network(NetworkOptions.of(imageSize, classes));
    }

    /** The network for a class count and a dropout rate; NaN for the model's own. */
    public Network network(int imageSize, int classes, double dropout) {
        return network(new NetworkOptions(imageSize, classes, dropout, 0));
    }

    /**
     * The network.
     *
     * @throws IllegalArgumentException if the family cannot be built so
     */
    public Network network(NetworkOptions options) {
        return builder.build(options);
    }
}
