package dev.graft.tune;

import dev.graft.engine.Param;
import dev.graft.model.LayerGroup;
import dev.graft.model.Network;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * A way of fine-tuning: which parameters train at which stage. A method is a pure function of the network; the trainer
 * compiles one plan a stage.
 */
public sealed interface Method
        permits Method.Scratch, Method.Full, Method.Head, Method.PartialFrom, Method.PartialTrain, Method.Gradual, LowRankAdaptation {
    /** Name and settings as the command takes them. */
    String text();

    /** The network that is trained; stages and names below are of this one. Its answers are at first those of the network that is given. */
    default Network rewrite(Network network) {
        return network;
    }

    /** Whether it starts from pretrained weights. */
    default boolean pretrained() {
        return true;
    }

    /** Whether only the head ever trains, on features that stay as they are. */
    default boolean headOnly() {
        return false;
    }

    /** Number of stages, at least 1. */
    default int stages(Network network) {
        return 1;
    }

    /** Stage of an epoch (from 0), given how often the validation score has stopped improving so far. */
    default int stageAt(int epoch, int plateaus, Network network) {
        return 0;
    }

    /** Epochs without improvement that count as a plateau; 0 where plateaus do not matter. */
    default int plateauPatience() {
        return 0;
    }

    /** Names of the weights that train in a stage, in graph order; never statistics. */
    List<String> trainable(Network network, int stage);

    /** Everything, from fresh starts. */
    record Scratch() implements Method {
        @Override
        public String text() {
            return "scratch";
        }

        @Override
        public boolean pretrained() {
            return false;
        }

        @Override
        public List<String> trainable(Network network, int stage) {
            return weights(network);
        }
    }

    /** Everything, from pretrained weights. */
    record Full() implements Method {
        @Override
        public String text() {
            return "full";
        }

        @Override
        public List<String> trainable(Network network, int stage) {
            return weights(network);
        }
    }

    /** The head alone: a linear probe. */
    record Head() implements Method {
        @Override
        public String text() {
            return "head";
        }

        @Override
        public boolean headOnly() {
            return true;
        }

        @Override
        public List<String> trainable(Network network, int stage) {
            return fromGroup(network, network.groups().size() - 1);
        }
    }

    /** The layer groups from a named one to the head. */
    record PartialFrom(String group) implements Method {
        @Override
        public String text() {
            return "partial:from=" + group;
        }

        @Override
        public List<String> trainable(Network network, int stage) {
            List<String> names = network.groups().stream().map(LayerGroup::name).toList();
            int at = names.indexOf(group);
            if (at < 0) {
                throw new IllegalArgumentException("partial:from=" + group + ": " + network.name() + " has the layer groups "
                        + String.join(", ", names));
            }
            return fromGroup(network, at);
        }
    }

    /** The parameters that match any of some patterns. */
    record PartialTrain(List<Glob> patterns) implements Method {
        /** Copies the patterns. */
        public PartialTrain {
            patterns = List.copyOf(patterns);
        }

        @Override
        public String text() {
            return "partial:train=" + String.join("+", patterns.stream().map(Glob::text).toList());
        }

        @Override
        public List<String> trainable(Network network, int stage) {
            List<String> all = weights(network);
            Set<String> chosen = new LinkedHashSet<>();
            patterns.forEach(p -> chosen.addAll(p.select(all, text())));
            return all.stream().filter(chosen::contains).toList();
        }
    }

    /**
     * The head first, then one layer group more (Howard, Ruder 2018): every some epochs, or whenever the validation score has
     * not improved for some epochs. Exactly one of the two is above 0.
     */
    record Gradual(int every, int patience) implements Method {
        /** Checks that one rule is given. */
        public Gradual {
            if (every < 0 || patience < 0 || (every > 0) == (patience > 0)) {
                throw new IllegalArgumentException("gradual: give every=N (epochs) or patience=N (epochs without improvement), N at least 1");
            }
        }

        @Override
        public String text() {
            return every > 0 ? "gradual:every=" + every : "gradual:patience=" + patience;
        }

        @Override
        public int stages(Network network) {
            return network.groups().size();
        }

        @Override
        public int stageAt(int epoch, int plateaus, Network network) {
            return Math.min(every > 0 ? epoch / every : plateaus, stages(network) - 1);
        }

        @Override
        public int plateauPatience() {
            return patience;
        }

        @Override
        public List<String> trainable(Network network, int stage) {
            return fromGroup(network, network.groups().size() - 1 - stage);
        }
    }

    private static List<String> weights(Network network) {
        return network.graph().parameters().stream().filter(p -> !p.buffer()).map(p -> p.value().name()).toList();
    }

    private static List<String> fromGroup(Network network, int first) {
        Set<String> buffers = new LinkedHashSet<>(network.graph().parameters().stream().filter(Param::buffer).map(p -> p.value().name()).toList());
        List<String> names = new ArrayList<>();
        network.groups().subList(first, network.groups().size()).forEach(g -> names.addAll(g.parameters()));
        names.removeAll(buffers);
        return names;
    }
}
