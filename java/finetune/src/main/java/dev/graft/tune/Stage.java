package dev.graft.tune;

import dev.graft.engine.Graph;
import dev.graft.engine.Node;
import dev.graft.engine.Param;
import dev.graft.model.Network;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * What one stage of a method trains, worked out to the last tensor.
 *
 * @param number from 0
 * @param groups every trainable tensor in exactly one
 * @param tracked running statistics that follow the batches
 */
public record Stage(int number, List<ParameterGroup> groups, List<String> tracked) {
    /** Copies the lists. */
    public Stage {
        groups = List.copyOf(groups);
        tracked = List.copyOf(tracked);
    }

    /** Decay and anchor of a run. */
    public record Regularisation(double weightDecay, double anchor) {
        /** Checks the ranges. */
        public Regularisation {
            if (!(weightDecay >= 0) || !(anchor >= 0) || Double.isInfinite(weightDecay) || Double.isInfinite(anchor)) {
                throw new IllegalArgumentException("weight decay and L2-SP strength are " + weightDecay + " and " + anchor + ", expected 0 or more");
            }
        }
    }

    /**
     * Works a stage out. Biases, norm parameters (tensors of one axis), class tokens and position embeddings are not decayed. With an anchor, pretrained tensors
     * outside the head are pulled to their pretrained values instead of to zero (Li, Grandvalet, Davoine 2018).
     *
     * @param fresh names that no checkpoint gave
     * @throws IllegalArgumentException if nothing trains, a new head would never train, a pattern matches nothing, or a tensor gets a rate of 0
     */
    public static Stage of(Method method, int number, Network network, BatchNormPolicy norms, RateRule rates,
                           Regularisation regularisation, Collection<String> fresh) {
        List<String> trainable = method.trainable(network, number);
        if (trainable.isEmpty()) {
            throw new IllegalArgumentException("strategy " + method.text() + ": no parameter of " + network.name() + " would train");
        }
        List<String> made = all(network).stream().filter(fresh::contains).toList();
        if (number == method.stages(network) - 1 && !made.isEmpty() && made.stream().noneMatch(trainable::contains)) {
            throw new IllegalArgumentException("strategy " + method.text() + ": the new head, " + made + ", would stay as it was made");
        }
        List<String> all = all(network);
        Map<String, Double> layer = new HashMap<>();
        for (int g = 0; g < network.groups().size(); g++) {
            double f = Math.pow(rates.layerDecay(), network.groups().size() - 1 - g);
            network.groups().get(g).parameters().forEach(p -> layer.put(p, f));
        }
        Map<String, Double> factor = new HashMap<>(layer);
        for (RateRule.Multiplier m : rates.multipliers()) {
            for (String name : m.pattern().select(all, "rate multiplier")) {
                factor.put(name, layer.get(name) * m.factor());
            }
        }
        Set<String> unpublished = new HashSet<>(fresh);
        Set<String> head = new HashSet<>(network.head().parameters());
        Map<List<Double>, List<String>> groups = new LinkedHashMap<>();
        Map<String, Param> params = new HashMap<>();
        network.graph().parameters().forEach(p -> params.put(p.value().name(), p));
        Set<String> embeddings = embeddings(network.graph());
        for (String name : trainable) {
            if (factor.get(name) == 0) {
                throw new IllegalArgumentException("parameter " + name + " trains at rate 0: leave it out of the strategy instead");
            }
            boolean anchored = regularisation.anchor() > 0 && !unpublished.contains(name) && !head.contains(name);
            boolean decayed = !anchored && params.get(name).dims().size() > 1 && !embeddings.contains(name);
            double decay = decayed ? regularisation.weightDecay() : 0;
            groups.computeIfAbsent(List.of(factor.get(name), decay, anchored ? regularisation.anchor() : 0), k -> new ArrayList<>()).add(name);
        }
        List<ParameterGroup> parameterGroups = new ArrayList<>();
        groups.forEach((k, names) -> parameterGroups.add(new ParameterGroup(k.get(0), k.get(1), k.get(2), names)));
        return new Stage(number, parameterGroups, tracked(network.graph(), new HashSet<>(trainable), norms));
    }

    private static List<String> all(Network network) {
        return network.graph().parameters().stream().filter(p -> !p.buffer()).map(p -> p.value().name()).toList();
    }

    private static Set<String> embeddings(Graph graph) {
        Set<String> names = new HashSet<>();
        for (Node n : graph.nodes()) {
            if (n.op().equals("embed_tokens")) {
                n.inputs().subList(1, 3).forEach(v -> names.add(v.name()));
            }
        }
        return names;
    }

    // Statistics of batch norms that normalise by their batch: by default those whose own scale trains.
    private static List<String> tracked(Graph graph, Set<String> trainable, BatchNormPolicy norms) {
        List<String> names = new ArrayList<>();
        for (Node n : graph.nodes()) {
            if (!n.op().equals("batch_norm") || norms == BatchNormPolicy.FROZEN) {
                continue;
            }
            if (norms == BatchNormPolicy.TRAIN || trainable.contains(n.inputs().get(1).name())) {
                names.add(n.inputs().get(3).name());
                names.add(n.inputs().get(4).name());
            }
        }
        return names;
    }

    /** Names of all trainable tensors, in graph order within their groups. */
    public List<String> trainable() {
        return groups.stream().flatMap(g -> g.parameters().stream()).toList();
    }

    /** Names that flow into what changes: trainable tensors and tracked statistics. */
    public Set<String> live() {
        Set<String> live = new TreeSet<>(trainable());
        live.addAll(tracked);
        return live;
    }
}
