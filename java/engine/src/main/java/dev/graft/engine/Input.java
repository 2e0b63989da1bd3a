package dev.graft.engine;

import java.util.List;

/**
 * A named input of a graph.
 *
 * @param value the value it defines
 * @param dtype type of the elements that are written to it
 * @param dims sizes, row-major; 0 stands for the batch of the plan
 */
public record Input(Value value, DType dtype, List<Long> dims) implements Entry {
    /** Copies the sizes and checks them. */
    public Input {
        dims = Dims.checked(value.name(), dims, 0);
    }
}
