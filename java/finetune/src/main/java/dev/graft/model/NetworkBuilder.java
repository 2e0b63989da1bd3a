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
    private final NetworkOptions options;
    private final GraphBuilder graph = Graph.builder();
    private final Map<String, Start> starts = new HashMap<>();
    private final Map<String, List<String>> groups = new LinkedHashMap<>();
    private final List<PositionGrid> positions = new ArrayList<>();
    private List<String> group;
    private boolean dropsPaths;

    NetworkBuilder(String name, NetworkOptions options) {
        this.name = name;
        this.options = options;
    }

    /** Pixels a side. */
    int imageSize() {
        return options.imageSize();
    }

    /** Number of logits. */
    int classes() {
        return options.classes();
    }

    /** Operations without parameters. */
    GraphBuilder graph() {
        return graph;
    }

    /** The pixels [N, imageSize, imageSize, 3]; begins the group {@code stem}. */
    Value stem() {
        group("stem");
        return graph.input(Network.PIXELS, DType.F32, 0, imageSize(), imageSize(), 3);
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
        double rate = Double.isNaN(options.dropout()) ? ownDropout : options.dropout();
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

    /** Layer norm over the last axis, {@code channels} long; starts with weight 1 and bias 0. */
    Value layerNorm(String module, Value x, int channels, double eps) {
        Value weight = parameter(module + ".weight", ONE, channels);
        return graph.layerNorm(module, x, weight, parameter(module + ".bias", ZERO, channels), eps);
    }

    /** A residual branch that training leaves out of some samples: of {@code share} of the largest rate that was asked for. */
    Value dropPath(String dropName, Value branch, double share) {
        dropsPaths = true;
        double rate = share * options.dropPath();
        return rate == 0 ? branch : graph.dropPath(dropName, branch, rate);
    }

    /**
     * The patches x [N, side * side, channels] behind a class token, with a position embedding that checkpoints of other
     * sizes may give: [N, 1 + side * side, channels].
     */
    Value embedTokens(String node, Value x, String token, Start tokenStart, String position, Start positionStart, int side, int channels) {
        Value cls = parameter(token, tokenStart, 1, 1, channels);
        positions.add(new PositionGrid(position, 1, side));
        return graph.embedTokens(node, x, cls, parameter(position, positionStart, 1, 1 + (long) side * side, channels));
    }

    /**
     * The network that answers these logits [N, classes].
     *
     * @throws IllegalArgumentException if stochastic depth was asked for and there are no branches for it
     */
    Network build(Value logits) {
        if (options.dropPath() > 0 && !dropsPaths) {
            throw new IllegalArgumentException("drop-path is " + options.dropPath() + ", but " + name + " has no branches that it could drop");
        }
        List<LayerGroup> all = groups.entrySet().stream().map(e -> new LayerGroup(e.getKey(), e.getValue())).toList();
        return new Network(name, graph.output(Network.LOGITS, logits).build(), imageSize(), classes(), all, starts, positions);
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
