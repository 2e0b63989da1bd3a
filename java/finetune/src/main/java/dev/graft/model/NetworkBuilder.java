package dev.graft.model;

import dev.graft.engine.Conv2d;
import dev.graft.engine.DType;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Value;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Builds the network of a family: its graph with the groups and starts of its parameters. Modules bear the names of the
 * published definition; a parameter belongs to the group that was begun last. For one thread.
 */
final class NetworkBuilder {
    private static final Start ONE = new Start.Constant(1);
    static final Start ZERO = new Start.Constant(0);

    private final String name;
    private final int imageSize;
    private final int classes;
    private final double dropout;
    private final GraphBuilder graph = Graph.builder();
    private final Map<String, Start> starts = new HashMap<>();
    private final Map<String, List<String>> groups = new LinkedHashMap<>();
    private List<String> group;

    /** @param dropout rate before the head, NaN for the model's own */
    NetworkBuilder(String name, int imageSize, int classes, double dropout) {
        this.name = name;
        this.imageSize = imageSize;
        this.classes = classes;
        this.dropout = dropout;
    }

    /** Number of logits. */
    int classes() {
        return classes;
    }

    /** Operations without parameters. */
    GraphBuilder graph() {
        return graph;
    }

    /** The pixels [N, imageSize, imageSize, 3]; begins the group {@code stem}. */
    Value stem() {
        group("stem");
        return graph.input(Network.PIXELS, DType.F32, 0, imageSize, imageSize, 3);
    }

    /** Begins a group. */
    void group(String group) {
        this.group = new ArrayList<>();
        groups.put(group, this.group);
    }

    /** Begins the group {@code head}, which reads {@code features}: after dropout where there is any. */
    Value head(Value features, String dropoutName, double ownDropout) {
        graph.output(Network.FEATURES, features);
        group("head");
        double rate = Double.isNaN(dropout) ? ownDropout : dropout;
        return rate == 0 ? features : graph.dropout(dropoutName, features, rate);
    }

    /**
     * A convolution with a square kernel.
     *
     * @param weight start of the weight [out, kernel, kernel, in / groups]
     * @param bias   start of the bias, null for none
     */
    Value conv(String module, Value x, int in, int out, int kernel, Conv2d attributes, Start weight, Start bias) {
        Value w = parameter(module + ".weight", weight, out, kernel, kernel, in / attributes.groups());
        Value b = bias == null ? null : parameter(module + ".bias", bias, out);
        return graph.conv2d(module, x, w, b, attributes);
    }

    /** A linear layer, weight [out, in]. */
    Value linear(String module, Value x, int in, int out, Start weight, Start bias) {
        Value w = parameter(module + ".weight", weight, out, in);
        return graph.linear(module, x, w, parameter(module + ".bias", bias, out));
    }

    /** A batch norm that starts with weight 1, bias 0, mean 0 and variance 1. */
    Value norm(String module, Value x, int channels, double eps, double momentum) {
        Value weight = parameter(module + ".weight", ONE, channels);
        Value bias = parameter(module + ".bias", ZERO, channels);
        Value mean = statistic(module + ".running_mean", ZERO, channels);
        Value variance = statistic(module + ".running_var", ONE, channels);
        return graph.batchNorm(module, x, weight, bias, mean, variance, eps, momentum);
    }

    /** The network that answers these logits [N, classes]. */
    Network build(Value logits) {
        List<LayerGroup> all = groups.entrySet().stream().map(e -> new LayerGroup(e.getKey(), e.getValue())).toList();
        return new Network(name, graph.output(Network.LOGITS, logits).build(), imageSize, classes, all, starts);
    }

    private Value parameter(String parameter, Start start, long... dims) {
        starts.put(parameter, start);
        group.add(parameter);
        return graph.parameter(parameter, dims);
    }

    private Value statistic(String buffer, Start start, long channels) {
        starts.put(buffer, start);
        group.add(buffer);
        return graph.buffer(buffer, channels);
    }
}
