package dev.graft.tune;

import dev.graft.engine.Graph;
import dev.graft.engine.Node;
import dev.graft.model.LowRankLayer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Layers that are to be adapted: a pattern of module names and, for layers that make query, key and value in one product, which
 * of the three. Read from {@code *.fc1} and {@code *.qkv[q+v]}.
 *
 * @param pattern of module names; the name of a module that holds layers stands for all of them
 * @param parts of {@code q}, {@code k}, {@code v}, in this order; empty for whole layers
 */
public record LowRankTarget(Glob pattern, List<String> parts) {
    private static final List<String> PARTS = List.of("q", "k", "v");

    /** Copies the parts and puts them in order. */
    public LowRankTarget {
        List<String> given = List.copyOf(parts);
        List<String> ordered = PARTS.stream().filter(given::contains).toList();
        if (ordered.size() != given.size()) {
            throw new IllegalArgumentException("lora: target " + pattern.text() + given + ": expected some of q, k, v, each once");
        }
        parts = ordered;
    }

    /** Reads one target. */
    static LowRankTarget parse(String text) {
        int bracket = text.indexOf('[');
        if (bracket < 0) {
            return new LowRankTarget(new Glob(text), List.of());
        }
        if (bracket == 0 || !text.endsWith("]") || text.length() == bracket + 2) {
            throw new IllegalArgumentException("lora: target " + text + ": expected PATTERN or PATTERN[q+v]");
        }
        return new LowRankTarget(new Glob(text.substring(0, bracket)), Arrays.asList(text.substring(bracket + 1, text.length() - 1).split("\\+")));
    }

    /** Reads targets joined by {@code +}; those inside of brackets join parts. */
    static List<LowRankTarget> parseAll(String text) {
        return Arrays.stream(text.split("\\+(?![^\\[]*\\])")).map(LowRankTarget::parse).toList();
    }

    /** As it is read. */
    String text() {
        return pattern.text() + (parts.isEmpty() ? "" : "[" + String.join("+", parts) + "]");
    }

    /** The columns of a layer that the parts are; none for whole layers. */
    List<LowRankLayer.Slice> slices(Graph graph, Node layer, long outputs) {
        if (parts.isEmpty()) {
            return List.of();
        }
        boolean fused = outputs % PARTS.size() == 0 && graph.nodes().stream()
                .anyMatch(n -> n.op().equals("attention") && n.inputs().get(0).name().equals(layer.name()));
        if (!fused) {
            throw new IllegalArgumentException("lora: target " + text() + ": " + layer.name()
                    + " does not make query, key and value for an attention; expected the pattern without " + parts);
        }
        int width = Math.toIntExact(outputs / PARTS.size());
        List<LowRankLayer.Slice> slices = new ArrayList<>();
        parts.forEach(p -> slices.add(new LowRankLayer.Slice(PARTS.indexOf(p) * width, width)));
        return slices;
    }
}
