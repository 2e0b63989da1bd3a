package dev.graft.weights;

/** Order of the colour channels a network expects in a {@link Card}. */
public enum ChannelOrder {
    RGB, BGR
}
