package dev.graft.tune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.Param;
import dev.graft.model.LayerGroup;
import dev.graft.model.Models;
import dev.graft.model.Network;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a stage trains, at which rate, decayed how, and whose statistics it follows. */
class StageTest {
    private static final Stage.Regularisation DECAY = new Stage.Regularisation(1e-4, 0);

    static List<String> models() {
        return Models.names();
    }

    private static Network network(String model) {
        return Models.named(model).network(64, 10);
    }

    private static Stage stage(String strategy, Network network, BatchNormPolicy norms, RateRule rates) {
        return Stage.of(Strategy.parse(strategy), 0, network, norms, rates, DECAY, network.head().parameters());
    }

    private static Set<String> tracked(String strategy, Network network, BatchNormPolicy norms) {
        return new TreeSet<>(stage(strategy, network, norms, RateRule.EVEN).tracked());
    }

    private static Set<String> named(Network network, boolean buffers) {
        return new TreeSet<>(network.graph().parameters().stream().filter(p -> p.buffer() == buffers).map(Param::name).toList());
    }

    @ParameterizedTest
    @MethodSource("models")
    void everyTrainableTensorIsInExactlyOneGroup(String model) {
        Network network = network(model);
        RateRule rates = new RateRule(List.of(new RateRule.Multiplier(new Glob("*.bias"), 2)), 0.8);
        int depth = network.groups().size();
        for (int s = 0; s < depth; s++) {
            Stage stage = Stage.of(new Method.Gradual(1, 0), s, network, BatchNormPolicy.AUTO, rates, DECAY, List.of());
            Set<String> expected = new TreeSet<>();
            network.groups().subList(depth - 1 - s, depth).forEach(g -> expected.addAll(g.parameters()));
            expected.removeAll(named(network, true));
            assertEquals(expected, new TreeSet<>(stage.trainable()), "stage " + s);
            assertEquals(expected.size(), stage.trainable().size(), "a tensor is named twice in stage " + s);
        }
        assertEquals(named(network, false), new TreeSet<>(stage("full", network, BatchNormPolicy.AUTO, rates).trainable()));
    }

    @Test
    void statisticsAreFollowedByPolicy() {
        Network network = network("resnet18");
        Set<String> all = named(network, true);
        Set<String> layer4 = new TreeSet<>(all.stream().filter(name -> name.startsWith("layer4.")).toList());
        assertEquals(layer4, tracked("partial:from=layer4", network, BatchNormPolicy.AUTO));
        assertEquals(Set.of(), tracked("head", network, BatchNormPolicy.AUTO));
        assertEquals(Set.of(), tracked("full", network, BatchNormPolicy.FROZEN));
        assertEquals(all, tracked("head", network, BatchNormPolicy.TRAIN));
        assertEquals(all, tracked("full", network, BatchNormPolicy.AUTO));
        assertEquals(Set.of("bn1.running_mean", "bn1.running_var"), tracked("partial:train=bn1.weight+fc", network, BatchNormPolicy.AUTO),
                "a norm follows its batches where its own scale trains");
    }

    @ParameterizedTest
    @ValueSource(strings = {"resnet18", "squeezenet1_1", "mobilenet_v1_025", "vit_cifar"})
    void biasesNormsAndEmbeddingsAreNotDecayed(String model) {
        Network network = network(model);
        Set<String> embeddings = Set.of("cls_token", "pos_embed");
        Map<String, Integer> rank = new HashMap<>();
        network.graph().parameters().forEach(p -> rank.put(p.name(), p.dims().size()));
        for (ParameterGroup group : stage("full", network, BatchNormPolicy.AUTO, RateRule.EVEN).groups()) {
            assertEquals(1, group.rate());
            assertEquals(0, group.anchor());
            group.parameters().forEach(name -> assertEquals(rank.get(name) > 1 && !embeddings.contains(name) ? 1e-4 : 0, group.decay(), name));
        }
    }

    @Test
    void pretrainedTensorsOutsideTheHeadArePulledInsteadOfDecayed() {
        Network network = network("resnet18");
        Stage stage = Stage.of(new Method.Full(), 0, network, BatchNormPolicy.AUTO, RateRule.EVEN, new Stage.Regularisation(1e-4, 0.01),
                List.of("layer1.0.conv1.weight"));
        for (ParameterGroup group : stage.groups()) {
            for (String name : group.parameters()) {
                boolean fresh = name.startsWith("fc.") || name.equals("layer1.0.conv1.weight");
                assertEquals(fresh ? 0 : 0.01, group.anchor(), name);
                assertEquals(fresh && !name.equals("fc.bias") ? 1e-4 : 0, group.decay(), name);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"resnet18", "cifar_resnet20", "squeezenet1_1"})
    void rateIsTheLayerDecayTimesTheLastMultiplierThatMatches(String model) {
        Network network = network(model);
        String some = network.groups().get(1).parameters().get(0);
        RateRule rates = new RateRule(List.of(new RateRule.Multiplier(new Glob("*.weight"), 3), new RateRule.Multiplier(new Glob(some), 0.25)), 0.5);
        Map<String, Double> expected = new HashMap<>();
        int depth = network.groups().size();
        for (int g = 0; g < depth; g++) {
            for (String name : network.groups().get(g).parameters()) {
                double multiplier = name.equals(some) ? 0.25 : name.endsWith(".weight") ? 3 : 1;
                expected.put(name, Math.pow(0.5, depth - 1 - g) * multiplier);
            }
        }
        Map<String, Double> actual = new HashMap<>();
        stage("full", network, BatchNormPolicy.AUTO, rates).groups().forEach(group -> group.parameters().forEach(name -> actual.put(name, group.rate())));
        named(network, false).forEach(name -> assertEquals(expected.get(name), actual.get(name), name));
    }

    @Test
    void mistakesAreErrorsBeforeStepOne() {
        Network network = network("resnet18");
        List<String> groups = new ArrayList<>(network.groups().stream().map(LayerGroup::name).toList());
        String none = " matches none of the 62 parameters; the first are [conv1.weight, bn1.weight, bn1.bias]";
        refused("partial:from=layer5", network, RateRule.EVEN, "partial:from=layer5: resnet18 has the layer groups " + String.join(", ", groups));
        refused("partial:train=head.*", network, RateRule.EVEN, "partial:train=head.*: the pattern head.*" + none);
        refused("partial:train=*.running_mean", network, RateRule.EVEN, "partial:train=*.running_mean: the pattern *.running_mean" + none);
        refused("full", network, new RateRule(List.of(new RateRule.Multiplier(new Glob("fd"), 2)), 1), "rate multiplier: the pattern fd" + none);
        refused("full", network, new RateRule(List.of(new RateRule.Multiplier(new Glob("bn1"), 0)), 1),
                "parameter bn1.weight trains at rate 0: leave it out of the strategy instead");
        refused("partial:train=layer1", network, RateRule.EVEN,
                "strategy partial:train=layer1: the new head, [fc.weight, fc.bias], would stay as it was made");
        refused("partial:train=+", network, RateRule.EVEN, "strategy partial:train=: no parameter of resnet18 would train");
        for (double wrong : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
            assertThrows(IllegalArgumentException.class, () -> new Stage.Regularisation(wrong, 0));
            assertThrows(IllegalArgumentException.class, () -> new Stage.Regularisation(0, wrong));
        }
    }

    private static void refused(String strategy, Network network, RateRule rates, String message) {
        assertEquals(message, assertThrows(IllegalArgumentException.class, () -> stage(strategy, network, BatchNormPolicy.AUTO, rates)).getMessage());
    }

    @Test
    void gradualUnfreezesByEpochsOrPlateausUntilAllTrains() {
        Network network = network("resnet18");
        int stages = network.groups().size();
        Method byEpochs = new Method.Gradual(2, 0);
        Method byPlateaus = new Method.Gradual(0, 3);
        assertEquals(stages, byEpochs.stages(network));
        assertEquals(0, byEpochs.plateauPatience());
        assertEquals(3, byPlateaus.plateauPatience());
        for (int n = 0; n < 3 * stages; n++) {
            assertEquals(Math.min(n / 2, stages - 1), byEpochs.stageAt(n, 9, network));
            assertEquals(Math.min(n, stages - 1), byPlateaus.stageAt(99, n, network));
        }
        assertEquals(List.of("fc.weight", "fc.bias"), byEpochs.trainable(network, 0));
        assertTrue(byEpochs.trainable(network, 1).contains("layer4.0.conv1.weight"));
        assertEquals(named(network, false), new TreeSet<>(byEpochs.trainable(network, stages - 1)));
    }
}
