package dev.graft.model;

import java.util.List;

/**
 * Layers that are frozen, unfrozen and given a rate together.
 *
 * @param name short and published where there is one: {@code stem}, {@code layer1} ... {@code head}
 * @param parameters weights and running statistics, by name, in graph order
 */
public record LayerGroup(String name, List<String> parameters) {
    /** Copies the names. */
    public LayerGroup {
        parameters = List.copyOf(parameters);
    }
}
