package dev.graft.engine;

import java.util.List;

/**
 * A named parameter of a graph, F32. Its elements live in {@link Parameters} under the same name.
 *
 * @param value the value it defines
 * @param dims sizes, row-major; convolution filters are OHWI
 * @param buffer true for statistics that no optimizer touches (running mean and variance)
 */
public record Param(Value value, List<Long> dims, boolean buffer) implements Entry {
    /** Copies the sizes and checks them. */
    public Param {
        dims = Dims.checked(value.name(), dims, 1);
    }

    /** Number of elements. */
    public long count() {
        return Dims.count(dims);
    }
}
