package dev.graft.tune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.DType;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Param;
import dev.graft.engine.Value;
import dev.graft.model.LayerGroup;
import dev.graft.model.LowRankLayer;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.model.Start;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Which layers a strategy adapts, what then trains, and what each mistake is told before step one. */
class LowRankAdaptationTest {
    private static final Stage.Regularisation DECAY = new Stage.Regularisation(1e-4, 0.01);

    /** A layer of attention with names of a vision transformer, 6 wide, and a head. */
    private static Network attention() {
        GraphBuilder g = Graph.builder();
        Value x = g.input(Network.PIXELS, DType.F32, 0, 4, 6);
        Value qkv = g.linear("blocks.0.attn.qkv", x, g.parameter("blocks.0.attn.qkv.weight", 18, 6), g.parameter("blocks.0.attn.qkv.bias", 18));
        x = g.node("attention", "blocks.0.attn", Map.of("heads", 2.0), qkv);
        x = g.linear("blocks.0.attn.proj", x, g.parameter("blocks.0.attn.proj.weight", 6, 6), g.parameter("blocks.0.attn.proj.bias", 6));
        x = g.layerNorm("norm", x, g.parameter("norm.weight", 6), g.parameter("norm.bias", 6), 1e-6);
        g.output(Network.FEATURES, x);
        x = g.linear("head", x, g.parameter("head.weight", 3, 6), g.parameter("head.bias", 3));
        Graph graph = g.output(Network.LOGITS, x).build();
        List<String> all = graph.parameters().stream().map(Param::name).toList();
        Map<String, Start> starts = new HashMap<>();
        all.forEach(name -> starts.put(name, new Start.Constant(0)));
        return new Network("small", graph, 4, 3, List.of(new LayerGroup("stem", List.of()), new LayerGroup("blocks.0", all.subList(0, 4)),
                new LayerGroup("norm", all.subList(4, 6)), new LayerGroup("head", all.subList(6, 8))), starts, List.of());
    }

    private static Network network(String model) {
        return model.equals("attention") ? attention() : Models.named(model).network(Models.named(model).imageSize(), 10);
    }

    private static LowRankAdaptation lora(String settings) {
        return (LowRankAdaptation) Strategy.parse("lora:" + settings);
    }

    private static List<String> modules(String settings, String model) {
        return lora(settings).layers(network(model)).stream().map(LowRankLayer::module).toList();
    }

    @Test
    void targetsAreLayersByPatternWithoutTheHead() {
        assertEquals(List.of("blocks.0.attn.qkv", "blocks.0.attn.proj"), modules("r=2", "attention"));
        assertEquals(List.of("blocks.0.attn.qkv"), modules("r=2,targets=*.qkv", "attention"));
        assertEquals(List.of("layer4.1.conv1", "layer4.1.conv2"), modules("targets=layer4.1", "resnet18"));
        assertEquals(List.of("layer1.0.conv1", "layer4.1.conv2"), modules("targets=layer4.1.conv2+layer1.0.conv1", "resnet18"));
        assertEquals(20, modules("targets=*", "resnet18").size(), "17 convolutions and 3 of shortcuts");
    }

    @Test
    void fusedLayersAreAdaptedInSlicesAndTheLastTargetHolds() {
        List<LowRankLayer.Slice> queryAndValue = List.of(new LowRankLayer.Slice(0, 6), new LowRankLayer.Slice(12, 6));
        assertEquals(List.of(new LowRankLayer("blocks.0.attn.qkv", 2, 2, 0.1, queryAndValue)),
                lora("r=2,targets=*.qkv[v+q],dropout=0.1").layers(attention()));
        List<LowRankLayer> mixed = lora("r=2,targets=*+*.qkv[k]").layers(attention());
        assertEquals(List.of(new LowRankLayer.Slice(6, 6)), mixed.get(0).slices());
        assertEquals(List.of(), mixed.get(1).slices());
        assertEquals(List.of(), lora("r=2,targets=*.qkv[k]+*").layers(attention()).get(0).slices());
    }

    @Test
    void factorIsAlphaOverTheRankOrItsRoot() {
        assertEquals(2, lora("r=8").factor());
        assertEquals(0.25, lora("r=4,alpha=1").factor());
        assertEquals(0.5, lora("r=4,alpha=1,rslora=1").factor());
    }

    @ParameterizedTest
    @CsvSource({"resnet18, 8, *", "resnet50, 4, layer3", "cifar_resnet20, 3, *", "squeezenet1_1, 5, *.squeeze+*.expand3x3", "attention, 2, *.qkv[q+v]",
        "attention, 3, *.qkv[k]+*.proj", "attention, 6, *"})
    void trainableCountEqualsTheFormula(String model, int rank, String targets) {
        Network network = network(model);
        LowRankAdaptation method = lora("r=" + rank + ",targets=" + targets);
        long expected = network.head().parameters().stream().mapToLong(p -> ((Param) network.graph().entry(p)).count()).sum();
        for (LowRankLayer layer : method.layers(network)) {
            Param weight = (Param) network.graph().entry(layer.module() + ".weight");
            long outputs = layer.slices().isEmpty() ? weight.dims().get(0) : weight.dims().get(0) / 3;
            expected += layer.pairs() * rank * (weight.count() / weight.dims().get(0) + outputs);
        }
        Network adapted = method.rewrite(network);
        Stage stage = Stage.of(method, 0, adapted, BatchNormPolicy.AUTO, RateRule.EVEN, DECAY, List.of());
        assertEquals(expected, stage.trainable().stream().mapToLong(p -> ((Param) adapted.graph().entry(p)).count()).sum());
        assertEquals(List.of(), stage.tracked(), "statistics of frozen norms are frozen");
    }

    @Test
    void adaptersHaveTheRatesOfTheirLayersAndNoAnchor() {
        Network adapted = lora("targets=layer1.0.conv1+layer4").rewrite(network("resnet18"));
        RateRule rates = new RateRule(List.of(new RateRule.Multiplier(new Glob("*.lora_B"), 16)), 0.5);
        List<String> added = adapted.graph().parameters().stream().map(Param::name).filter(n -> n.contains(".lora_")).toList();
        Stage stage = Stage.of(lora("targets=layer1.0.conv1+layer4"), 0, adapted, BatchNormPolicy.AUTO, rates, DECAY, added);
        Map<String, Double> actual = new HashMap<>();
        for (ParameterGroup group : stage.groups()) {
            group.parameters().forEach(name -> actual.put(name, group.rate()));
            assertEquals(0, group.anchor(), "nothing pulls to where an adapter happened to start");
        }
        assertEquals(1, actual.get("fc.weight"));
        assertEquals(0.5, actual.get("layer4.1.conv2.lora_A.weight"));
        assertEquals(8, actual.get("layer4.1.conv2.lora_B.weight"));
        assertEquals(0.0625, actual.get("layer1.0.conv1.lora_A.weight"));
        assertEquals(1, actual.get("layer1.0.conv1.lora_B.weight"));
    }

    @Test
    void unfreezingGoesDownByGroupsThatTrain() {
        LowRankAdaptation method = lora("targets=layer2+layer4,train=bn1,every=2");
        Network adapted = method.rewrite(network("resnet18"));
        assertEquals(4, method.stages(adapted), "head, layer4, layer2, stem");
        assertEquals(List.of("fc.weight", "fc.bias"), method.trainable(adapted, 0));
        Set<String> before = new TreeSet<>();
        List<String> joined = new ArrayList<>();
        for (int s = 0; s < 4; s++) {
            Set<String> now = new TreeSet<>(method.trainable(adapted, s));
            assertTrue(now.containsAll(before));
            Set<String> added = new TreeSet<>(now);
            added.removeAll(before);
            joined.add(added.iterator().next().split("\\.")[0]);
            before = now;
        }
        assertEquals(List.of("fc", "layer4", "layer2", "bn1"), joined);
        assertEquals(List.of(0, 0, 1, 3, 3), List.of(method.stageAt(0, 9, adapted), method.stageAt(1, 9, adapted), method.stageAt(2, 9, adapted),
                method.stageAt(7, 9, adapted), method.stageAt(99, 9, adapted)));
        LowRankAdaptation plateaus = lora("targets=layer2,patience=3");
        assertEquals(3, plateaus.plateauPatience());
        assertEquals(1, plateaus.stageAt(0, 1, adapted));
    }

    @ParameterizedTest
    @ValueSource(strings = {"targets=layer4", "targets=*,train=bn1+*.bias,every=1"})
    void rewriteAddsToTheNetworkAndTakesNothingAway(String settings) {
        Network network = network("resnet18");
        Network adapted = lora(settings).rewrite(network);
        for (Param p : network.graph().parameters()) {
            assertEquals(p.dims(), ((Param) adapted.graph().entry(p.name())).dims(), p.name());
            assertEquals(network.starts().get(p.name()), adapted.starts().get(p.name()), p.name());
        }
        assertEquals(network.groups().stream().map(LayerGroup::name).toList(), adapted.groups().stream().map(LayerGroup::name).toList());
        assertEquals(network.head(), adapted.head());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            attention | targets=*.qvk | lora: target *.qvk matches no layer of small, did you mean *.qkv?
            attention | targets=query | lora: target query matches no layer of small; its linear layers and convolutions end in head, proj, qkv
            resnet18 | targets=layer4.0.conv3+* | lora: target layer4.0.conv3 matches no layer of resnet18, did you mean layer4.0.conv1?
            attention | targets=*.qkv+norm | lora: target norm matches norm, a layer_norm; linear layers and convolutions can be adapted
            resnet18 | targets=*.bn1 | lora: target *.bn1 matches layer1.0.bn1, a batch_norm; linear layers and convolutions can be adapted
            resnet18 | targets=fc | lora: target fc matches only fc of the head, which trains whole
            mobilenet_v1_025 | targets=* | lora: target * matches conv_dw_1, a convolution of 8 groups; convolutions of one group can be adapted
            attention | r=7,targets=*.qkv | lora: r is 7, the smaller dimension of blocks.0.attn.qkv is 6
            attention | r=7,targets=*.qkv[q] | lora: r is 7, the smaller dimension of blocks.0.attn.qkv is 6
            cifar_resnet20 | r=17 | lora: r is 17, the smaller dimension of conv1 is 16
            attention | r=2,targets=*.proj[q] | lora: target *.proj[q]: blocks.0.attn.proj does not make query, key and value for an attention; expected the pattern without [q]
            resnet18 | targets=layer1.0.conv1[q] | lora: target layer1.0.conv1[q]: layer1.0.conv1 does not make query, key and value for an attention; expected the pattern without [q]
            """)
    void mistakesAreToldBeforeStepOne(String model, String settings, String message) {
        Network network = network(model);
        assertEquals(message, assertThrows(IllegalArgumentException.class, () -> lora(settings).layers(network)).getMessage());
        assertEquals(message, assertThrows(IllegalArgumentException.class, () -> lora(settings).rewrite(network)).getMessage());
    }

    @Test
    void wholeTrainedPatternWithoutEffectIsRefused() {
        LowRankAdaptation method = lora("r=2,targets=*.qkv,train=norms");
        Network adapted = method.rewrite(attention());
        String message = assertThrows(IllegalArgumentException.class, () -> method.trainable(adapted, 0)).getMessage();
        assertTrue(message.startsWith("lora:r=2,alpha=4,targets=*.qkv,train=norms: the pattern norms matches none of the 8 parameters"), message);
    }
}
