package dev.graft.weights;

/** Order of the colour channels a network expects in a {@link Card}. */
public enum ChannelOrder {
    /** Red first. */
    RGB,
    /** Blue first; mean and deviation of a card stay red, green, blue. */
    BGR
}
