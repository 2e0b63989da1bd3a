package dev.graft.engine;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * One operation of a graph. Operations and attributes have the native names ({@code conv2d}, {@code stride_h}); an
 * attribute that is not given has the operation's default. Neither is checked before a plan is compiled, whose message
 * then lists the known ones.
 *
 * @param op name of the operation
 * @param value the value it defines, whose name is the node's
 * @param inputs values read; optional ones are left out at the end, and before others they are a value without a name
 * @param attributes numbers by name
 */
public record Node(String op, Value value, List<Value> inputs, Map<String, Double> attributes) implements Entry {
    /** Copies the collections. */
    public Node {
        inputs = List.copyOf(inputs);
        SortedMap<String, Double> sorted = new TreeMap<>(attributes);
        attributes = Collections.unmodifiableSortedMap(sorted);
    }

    /** Whether the node is a loss: it ends a training graph and appears in {@link Graph#losses()}. */
    public boolean loss() {
        return switch (op) {
            case "softmax_cross_entropy", "linear_cross_entropy", "bce_with_logits", "mse", "mae" -> true;
            default -> false;
        };
    }

    /** Whether a training plan draws random numbers here, so that two visits of a sample differ. */
    public boolean random() {
        return op.equals("dropout") && attributes.getOrDefault("rate", 0.0) > 0;
    }

    /** Whether the result keeps the element type of the first input, whatever it is. */
    boolean moves() {
        return switch (op) {
            case "reshape", "transpose", "concat", "slice", "pad" -> true;
            default -> false;
        };
    }
}
