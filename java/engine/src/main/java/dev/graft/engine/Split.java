package dev.graft.engine;

import java.util.List;

/**
 * A graph cut in two: {@code suffix} after {@code prefix} computes what the whole does.
 *
 * @param prefix the frozen part, without losses; its outputs include the boundary under the values' own names
 * @param suffix the rest; its inputs include the boundary
 * @param boundary names of the values that cross; empty where nothing is frozen
 */
public record Split(Graph prefix, Graph suffix, List<String> boundary) {
    /** Copies the names. */
    public Split {
        boundary = List.copyOf(boundary);
    }
}
