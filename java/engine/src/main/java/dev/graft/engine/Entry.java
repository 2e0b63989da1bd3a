package dev.graft.engine;

/** One record of a graph; each defines one value. */
public sealed interface Entry permits Input, Param, Node {
    /** The value that this entry defines. */
    Value value();

    /** The name of the value, unique within the graph. */
    default String name() {
        return value().name();
    }
}
