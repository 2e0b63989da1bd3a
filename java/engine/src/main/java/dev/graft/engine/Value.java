package dev.graft.engine;

import java.util.Objects;

/**
 * A value of a graph: an input, a parameter or the result of a node. The name identifies it; the number is its position
 * in the graph it was made in.
 *
 * @param id position among the graph's entries
 * @param name unique within the graph
 */
public record Value(int id, String name) {
    /** Stands for an optional operand that is left out before one that is given. */
    static final Value ABSENT = new Value(-1, "");

    /** Checks the name. */
    public Value {
        Objects.requireNonNull(name, "name of a value");
    }
}
