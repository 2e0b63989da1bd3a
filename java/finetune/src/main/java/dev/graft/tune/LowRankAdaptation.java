package dev.graft.tune;

import dev.graft.engine.Graph;
import dev.graft.engine.Node;
import dev.graft.engine.Param;
import dev.graft.model.LayerGroup;
import dev.graft.model.LowRankGraph;
import dev.graft.model.LowRankLayer;
import dev.graft.model.Network;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * LoRA (Hu et al. 2021, <i>LoRA: low-rank adaptation of large language models</i>): beside the frozen weight of each adapted layer
 * a product B A of low rank trains, and the head trains whole.
 *
 * @param rank of A and B, 1 to {@value #LARGEST_RANK} and at most the layer's smaller dimension
 * @param alpha the update is {@code alpha / rank * B A}; above 0
 * @param rankStabilised {@code alpha / sqrt(rank)} instead (Kalajdzievski 2023, <i>A rank stabilization scaling factor</i>)
 * @param dropout rate on what A reads while training, 0 to below 1
 * @param targets layers that are adapted; of several that match a layer, the last holds
 * @param train further parameters that train whole
 * @param unfreezing when lower layer groups join: a stage more each time, the head's first; null for all groups at once
 */
public record LowRankAdaptation(int rank, double alpha, boolean rankStabilised, double dropout, List<LowRankTarget> targets, List<Glob> train,
                                Method.Gradual unfreezing) implements Method {
    /** The largest rank. */
    public static final int LARGEST_RANK = 256;

    private static final String WEIGHT = ".weight";

    /** Checks the ranges and copies the lists. */
    public LowRankAdaptation {
        targets = List.copyOf(targets);
        train = List.copyOf(train);
        require(rank >= 1 && rank <= LARGEST_RANK, "r is " + rank + ", expected 1 to " + LARGEST_RANK);
        require(alpha > 0 && Double.isFinite(alpha), "alpha is " + alpha + ", expected a finite number above 0");
        require(dropout >= 0 && dropout < 1, "dropout is " + dropout + ", expected 0 or more and less than 1");
        require(!targets.isEmpty(), "no targets");
    }

    /** What the product of B and A is multiplied with. */
    public double factor() {
        return alpha / (rankStabilised ? Math.sqrt(rank) : rank);
    }

    @Override
    public String text() {
        StringBuilder text = new StringBuilder("lora:r=" + rank + ",alpha=" + plain(alpha));
        text.append(",targets=").append(String.join("+", targets.stream().map(LowRankTarget::text).toList()));
        text.append(rankStabilised ? ",rslora=1" : "").append(dropout > 0 ? ",dropout=" + plain(dropout) : "");
        text.append(train.isEmpty() ? "" : ",train=" + String.join("+", train.stream().map(Glob::text).toList()));
        return text + (unfreezing == null ? "" : unfreezing.text().replace("gradual:", ","));
    }

    private static String plain(double number) {
        return number == Math.rint(number) && Math.abs(number) < 1e9 ? String.valueOf((long) number) : String.valueOf(number);
    }

    @Override
    public Network rewrite(Network network) {
        return LowRankGraph.insert(network, layers(network), null);
    }

    /**
     * The layers of a network that are adapted, in graph order. The head's never are: they train whole.
     *
     * @throws IllegalArgumentException where a target matches no layer that can be adapted, or a layer is too small for the rank
     */
    public List<LowRankLayer> layers(Network network) {
        Graph graph = network.graph();
        Map<String, Node> modules = modules(graph);
        Set<String> head = new HashSet<>(network.head().parameters());
        Map<String, LowRankTarget> chosen = new LinkedHashMap<>();
        for (LowRankTarget target : targets) {
            List<String> matching = modules.keySet().stream().filter(target.pattern()::matches).toList();
            List<String> products = matching.stream().filter(m -> product(modules.get(m)) && !head.contains(m + WEIGHT)).toList();
            if (products.isEmpty()) {
                throw LowRankMistake.of(target, matching, modules, network);
            }
            products.forEach(m -> chosen.put(m, target));
        }
        List<LowRankLayer> layers = new ArrayList<>();
        modules.forEach((module, node) -> {
            if (chosen.containsKey(module)) {
                layers.add(layer(graph, module, node, chosen.get(module)));
            }
        });
        return layers;
    }

    private LowRankLayer layer(Graph graph, String module, Node node, LowRankTarget target) {
        Param weight = (Param) graph.entry(module + WEIGHT);
        int groups = node.attributes().getOrDefault("groups", 1.0).intValue();
        require(groups == 1, "target " + target.text() + " matches " + module + ", a convolution of " + groups
                + " groups; convolutions of one group can be adapted");
        long outputs = weight.dims().get(0);
        List<LowRankLayer.Slice> slices = target.slices(graph, node, outputs);
        long smaller = Math.min(slices.isEmpty() ? outputs : slices.get(0).width(), weight.count() / outputs);
        require(rank <= smaller, "r is " + rank + ", the smaller dimension of " + module + " is " + smaller);
        return new LowRankLayer(module, rank, factor(), dropout, slices);
    }

    /** Modules that have a weight, with the node that reads it, in graph order. */
    static Map<String, Node> modules(Graph graph) {
        Map<String, Node> modules = new LinkedHashMap<>();
        for (Node n : graph.nodes()) {
            for (int i = 1; i < n.inputs().size(); i++) {
                String name = n.inputs().get(i).name();
                if (name.endsWith(WEIGHT) && graph.entry(name) instanceof Param) {
                    modules.putIfAbsent(name.substring(0, name.length() - WEIGHT.length()), n);
                }
            }
        }
        return modules;
    }

    /** Whether a node multiplies with its weight. */
    static boolean product(Node node) {
        return node.op().equals("linear") || node.op().equals("conv2d");
    }

    @Override
    public int stages(Network network) {
        return unfreezing == null ? 1 : levels(network).size();
    }

    @Override
    public int stageAt(int epoch, int plateaus, Network network) {
        return unfreezing == null ? 0 : Math.min(unfreezing.every() > 0 ? epoch / unfreezing.every() : plateaus, stages(network) - 1);
    }

    @Override
    public int plateauPatience() {
        return unfreezing == null ? 0 : unfreezing.patience();
    }

    @Override
    public List<String> trainable(Network network, int stage) {
        List<Set<String>> levels = levels(network);
        Set<String> chosen = new HashSet<>();
        levels.subList(0, unfreezing == null ? levels.size() : stage + 1).forEach(chosen::addAll);
        return network.graph().parameters().stream().map(Param::name).filter(chosen::contains).toList();
    }

    // What trains, by layer group from the head down; groups in which nothing trains are left out.
    private List<Set<String>> levels(Network network) {
        Set<String> all = new LinkedHashSet<>();
        List<String> weights = new ArrayList<>();
        for (Param p : network.graph().parameters()) {
            if (p.name().endsWith(".lora_A.weight") || p.name().endsWith(".lora_B.weight")) {
                all.add(p.name());
            } else if (!p.buffer()) {
                weights.add(p.name());
            }
        }
        train.forEach(g -> all.addAll(g.select(weights, text())));
        weights.stream().filter(network.head().parameters()::contains).forEach(all::add);
        List<Set<String>> levels = new ArrayList<>();
        for (int g = network.groups().size() - 1; g >= 0; g--) {
            LayerGroup group = network.groups().get(g);
            Set<String> level = new HashSet<>(group.parameters());
            level.retainAll(all);
            if (!level.isEmpty()) {
                levels.add(level);
            }
        }
        return levels;
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException("lora: " + otherwise);
        }
    }
}
