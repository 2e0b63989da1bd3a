package dev.graft.model;

import dev.graft.engine.Graph;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A network as fine-tuning sees it: a graph from pixels to logits, its layer groups from stem to head, and how fresh
 * parameters start. Immutable.
 *
 * <p>The graph has one input, {@value #PIXELS} (batch x size x size x 3, normalised as the card says), and two outputs:
 * {@value #FEATURES}, what the head reads (batch x channels, or batch x height x width x channels), and {@value #LOGITS}
 * (batch x classes). It has no loss. Parameter names are those of the published checkpoints; convolution weights have the
 * engine's order of axes (out, height, width, in).
 *
 * @param name the published name, such as {@code resnet18}
 * @param graph from pixels to logits
 * @param imageSize height and width of the pixels
 * @param classes number of logits
 * @param groups layer groups, stem first, head last; together they name every parameter and statistic once
 * @param starts how each parameter begins when no checkpoint gives it; complete
 * @param positions position embeddings over a grid, which a checkpoint may give for another size
 */
public record Network(String name, Graph graph, int imageSize, int classes, List<LayerGroup> groups, Map<String, Start> starts,
                      List<PositionGrid> positions) {
    /** Name of the graph's input. */
    public static final String PIXELS = "pixels";
    /** Name of the output that the head reads. */
    public static final String FEATURES = "features";
    /** Name of the output with one number a class. */
    public static final String LOGITS = "logits";

    /** Checks that the groups name every parameter of the graph exactly once and that each has a start. */
    public Network {
        groups = List.copyOf(groups);
        starts = Map.copyOf(starts);
        positions = List.copyOf(positions);
        List<String> named = new ArrayList<>();
        groups.forEach(g -> named.addAll(g.parameters()));
        List<String> sorted = named.stream().sorted().toList();
        List<String> expected = graph.parameters().stream().map(p -> p.value().name()).sorted().toList();
        if (!sorted.equals(expected)) {
            throw new IllegalArgumentException(name + ": the layer groups name " + sorted + ", the graph has " + expected);
        }
        for (String parameter : expected) {
            if (!starts.containsKey(parameter)) {
                throw new IllegalArgumentException(name + ": parameter " + parameter + " has no start");
            }
        }
    }

    /** The last group: the layers that are made new for a task. */
    public LayerGroup head() {
        return groups.get(groups.size() - 1);
    }
}
