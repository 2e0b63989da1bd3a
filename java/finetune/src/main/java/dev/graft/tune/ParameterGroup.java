package dev.graft.tune;

import java.util.List;

/**
 * Trainable tensors that share rate, decay and anchor.
 *
 * @param rate factor on the run's rate
 * @param decay weight decay
 * @param anchor strength of the pull to the pretrained weights (L2-SP)
 * @param parameters names in graph order
 */
public record ParameterGroup(double rate, double decay, double anchor, List<String> parameters) {
    /** Copies the names. */
    public ParameterGroup {
        parameters = List.copyOf(parameters);
    }
}
