package dev.graft.model;

import dev.graft.engine.Conv2d;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.LowRank;
import dev.graft.engine.Node;
import dev.graft.engine.Param;
import dev.graft.engine.Value;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Low-rank adapters as a pure rewrite. A linear layer becomes {@code lora_linear}, which has the adapter inside its matmul; beside
 * a convolution stand two more, whose result is added. Names of nodes and parameters that were there stay; the
 * parameters of an adapter are those of Python's PEFT: {@code MODULE.lora_A.weight} and {@code MODULE.lora_B.weight}, and with
 * a name, so that several live in one store, {@code MODULE.lora_A.NAME.weight}.
 */
public final class LowRankGraph {
    private static final String WEIGHT = ".weight";

    private LowRankGraph() {}

    /**
     * A layer that can be adapted.
     *
     * @param module its name
     * @param out    rows of its weight: outputs or filters
     * @param in     elements of a row: inputs, or kernel height x kernel width x channels
     * @param linear whether it is a linear layer, not a convolution
     */
    public record Adaptable(String module, long out, long in, boolean linear) {}

    /** Name of A in a store and a graph; {@code adapter} is null for the only one. */
    public static String a(String module, String adapter) {
        return module + ".lora_A" + suffix(adapter) + WEIGHT;
    }

    /** Name of B in a store and a graph; {@code adapter} is null for the only one. */
    public static String b(String module, String adapter) {
        return module + ".lora_B" + suffix(adapter) + WEIGHT;
    }

    /** The linear layers and ungrouped convolutions that have a weight of their own, in graph order. */
    public static List<Adaptable> adaptable(Graph graph) {
        List<Adaptable> layers = new ArrayList<>();
        for (Node n : graph.nodes()) {
            if (problem(graph, n) == null) {
                List<Long> dims = weight(graph, n).dims();
                long count = weight(graph, n).count();
                layers.add(new Adaptable(module(n), dims.get(0), count / dims.get(0), n.op().equals("linear")));
            }
        }
        return layers;
    }

    /**
     * The network with adapters. Their parameters join the layer groups of their layers; A starts as PEFT starts it (uniform in
     * +-1/sqrt(inputs), which is its Kaiming rule for a = sqrt 5), B with zeros, so that the network answers as it did.
     *
     * @param adapter name of the adapter, null for the only one
     * @throws IllegalArgumentException naming the layer, where it is not there, is of another kind, has an adapter already, or its
     *                                  slices do not fit
     */
    public static Network insert(Network network, Collection<LowRankLayer> layers, String adapter) {
        Graph graph = insert(network.graph(), layers, adapter);
        Map<String, Integer> groupOf = new HashMap<>();
        for (int g = 0; g < network.groups().size(); g++) {
            for (String parameter : network.groups().get(g).parameters()) {
                groupOf.put(parameter, g);
            }
        }
        Map<String, Start> starts = new HashMap<>(network.starts());
        for (LowRankLayer layer : layers) {
            Param a = (Param) graph.entry(a(layer.module(), adapter));
            starts.put(a.name(), Start.torchDefault((double) a.count() / a.dims().get(0)));
            starts.put(b(layer.module(), adapter), NetworkBuilder.ZERO);
            int group = groupOf.get(layer.module() + WEIGHT);
            groupOf.put(a.name(), group);
            groupOf.put(b(layer.module(), adapter), group);
        }
        List<LayerGroup> groups = new ArrayList<>();
        for (int g = 0; g < network.groups().size(); g++) {
            int group = g;
            groups.add(new LayerGroup(network.groups().get(g).name(),
                    graph.parameters().stream().map(Param::name).filter(p -> groupOf.get(p) == group).toList()));
        }
        return new Network(network.name(), graph, network.imageSize(), network.classes(), groups, starts, network.positions());
    }

    /** The graph with adapters; see {@link #insert(Network, Collection, String)}. */
    public static Graph insert(Graph graph, Collection<LowRankLayer> layers, String adapter) {
        Graph adapted = graph;
        for (LowRankLayer layer : layers) {
            Node node = layer(adapted, layer.module());
            Param weight = weight(adapted, node);
            adapted = adapted.replace(node.name(), (b, n) ->
                    n.op().equals("linear") ? linear(b, n, weight, layer, adapter) : convolution(b, n, weight, layer, adapter));
        }
        return adapted;
    }

    private static Value linear(GraphBuilder b, Node n, Param weight, LowRankLayer layer, String adapter) {
        long out = weight.dims().get(0);
        for (LowRankLayer.Slice s : layer.slices()) {
            if ((long) s.start() + s.width() > out) {
                throw new IllegalArgumentException(layer.module() + ": " + s + " does not lie within its " + out + " outputs");
            }
        }
        long width = layer.slices().isEmpty() ? out : layer.slices().get(0).width();
        Value a = b.parameter(a(layer.module(), adapter), (long) layer.pairs() * layer.rank(), weight.dims().get(1));
        Value up = b.parameter(b(layer.module(), adapter), layer.pairs() * width, layer.rank());
        Value x = n.inputs().get(0);
        Value z = layer.dropout() == 0 ? null : b.dropout(layer.module() + ".lora_dropout" + suffix(adapter), x, layer.dropout());
        LowRank update = LowRank.of(layer.factor()).reading(z);
        if (!layer.slices().isEmpty()) {
            update = update.slices(width, layer.slices().stream().mapToLong(LowRankLayer.Slice::start).toArray());
        }
        Value bias = n.inputs().size() > 2 ? n.inputs().get(2) : null;
        return b.loraLinear(n.name(), x, n.inputs().get(1), bias, a, up, update);
    }

    private static Value convolution(GraphBuilder b, Node n, Param weight, LowRankLayer layer, String adapter) {
        String module = layer.module();
        if (!layer.slices().isEmpty()) {
            throw new IllegalArgumentException(module + ": slices are of linear layers, it is a convolution");
        }
        List<Long> dims = weight.dims();
        Value base = b.add(n);
        Value x = n.inputs().get(0);
        Value z = layer.dropout() == 0 ? x : b.dropout(module + ".lora_dropout" + suffix(adapter), x, layer.dropout());
        Value a = b.parameter(a(module, adapter), layer.rank(), dims.get(1), dims.get(2), dims.get(3));
        Value up = b.parameter(b(module, adapter), dims.get(0), 1, 1, layer.rank());
        Value low = b.node("conv2d", module + ".lora_A" + suffix(adapter), n.attributes(), z, a);
        Value update = b.conv2d(module + ".lora_B" + suffix(adapter), low, up, null, Conv2d.DEFAULT);
        Value scaled = b.scale(module + ".lora_scale" + suffix(adapter), update, layer.factor(), 0);
        return b.add(module + ".lora" + suffix(adapter), base, scaled);
    }

    /** The node of a module, after the checks. */
    private static Node layer(Graph graph, String module) {
        if (graph.find(a(module, null)).isPresent()) {
            throw new IllegalArgumentException(module + " has an adapter already");
        }
        Node found = null;
        for (Node n : graph.nodes()) {
            if (n.inputs().size() > 1 && n.inputs().get(1).name().equals(module + WEIGHT)) {
                String problem = problem(graph, n);
                if (problem != null) {
                    throw new IllegalArgumentException(module + " cannot be adapted: " + problem);
                }
                found = n;
            }
        }
        if (found == null) {
            throw new IllegalArgumentException("no layer " + module + " that could be adapted; the first are "
                    + adaptable(graph).stream().limit(3).map(Adaptable::module).toList());
        }
        return found;
    }

    /** Why a node cannot be adapted; null if it can. */
    private static String problem(Graph graph, Node n) {
        if (n.op().equals("lora_linear")) {
            return "it has an adapter already";
        }
        if (!n.op().equals("linear") && !n.op().equals("conv2d")) {
            return "it is a " + n.op() + ", neither a linear layer nor a convolution";
        }
        if (!(graph.entry(n.inputs().get(1).name()) instanceof Param weight) || !weight.name().endsWith(WEIGHT)) {
            return "its weight is no parameter named MODULE" + WEIGHT;
        }
        if (n.attributes().getOrDefault("groups", 1.0) != 1) {
            return "it is a convolution of " + n.attributes().get("groups").intValue() + " groups";
        }
        long readers = graph.nodes().stream().filter(m -> m.inputs().stream().anyMatch(v -> v.name().equals(weight.name()))).count();
        return readers == 1 ? null : "its weight is read by " + readers + " operations";
    }

    private static String module(Node n) {
        String weight = n.inputs().get(1).name();
        return weight.substring(0, weight.length() - WEIGHT.length());
    }

    private static Param weight(Graph graph, Node n) {
        return (Param) graph.entry(n.inputs().get(1).name());
    }

    private static String suffix(String adapter) {
        return adapter == null ? "" : "." + adapter;
    }
}
