package dev.graft.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.Conv2d;
import dev.graft.engine.DType;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Node;
import dev.graft.engine.Param;
import dev.graft.engine.Value;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The rewrite leaves what was there, adds the pairs of PEFT under their names, and refuses what cannot be. */
class LowRankGraphTest {
    private static final int RANK = 4;

    /** A convolution, a grouped one, and two linear layers, of which the last has no bias; the tied weight is read twice. */
    private static Network network() {
        GraphBuilder g = Graph.builder();
        Value x = g.input(Network.PIXELS, DType.F32, 0, 8, 8, 3);
        x = g.conv2d("conv", x, g.parameter("conv.weight", 6, 3, 3, 3), null, Conv2d.DEFAULT.stride(2).pad(1));
        x = g.conv2d("grouped", x, g.parameter("grouped.weight", 6, 1, 1, 1), null, Conv2d.DEFAULT.groups(6));
        x = g.globalPool("pool", x, false, false);
        x = g.linear("qkv", x, g.parameter("qkv.weight", 18, 6), g.parameter("qkv.bias", 18));
        g.output(Network.FEATURES, x);
        x = g.linear("head", x, g.parameter("head.weight", 5, 18), g.parameter("head.bias", 5));
        Value tied = g.parameter("tied.weight", 5, 5);
        x = g.linear("tied.again", g.linear("tied", x, tied, null), tied, null);
        g.output(Network.LOGITS, x);
        List<String> stem = List.of("conv.weight", "grouped.weight");
        List<String> head = List.of("head.weight", "head.bias", "tied.weight");
        Start zero = new Start.Constant(0);
        return new Network("small", g.build(), 8, 5, List.of(new LayerGroup("stem", stem),
                new LayerGroup("block", List.of("qkv.weight", "qkv.bias")), new LayerGroup("head", head)),
                Map.of("conv.weight", zero, "grouped.weight", zero, "qkv.weight", zero, "qkv.bias", zero, "head.weight", zero,
                        "head.bias", zero, "tied.weight", zero), List.of());
    }

    private static List<Long> dims(Network network, String parameter) {
        return ((Param) network.graph().entry(parameter)).dims();
    }

    @Test
    void layersWithAWeightOfTheirOwnCanBeAdapted() {
        assertEquals(List.of(new LowRankGraph.Adaptable("conv", 6, 27, false), new LowRankGraph.Adaptable("qkv", 18, 6, true),
                new LowRankGraph.Adaptable("head", 5, 18, true)), LowRankGraph.adaptable(network().graph()));
    }

    @Test
    void linearLayerKeepsItsNameAndGetsAPair() {
        Network adapted = LowRankGraph.insert(network(), List.of(new LowRankLayer("head", RANK, 0.5)), null);
        Node node = (Node) adapted.graph().entry("head");
        assertEquals("lora_linear", node.op());
        assertEquals(0.5, node.attributes().get("factor"));
        assertEquals(List.of((long) RANK, 18L), dims(adapted, "head.lora_A.weight"));
        assertEquals(List.of(5L, (long) RANK), dims(adapted, "head.lora_B.weight"));
        assertEquals(List.of("head.weight", "head.bias", "head.lora_A.weight", "head.lora_B.weight", "tied.weight"),
                adapted.head().parameters());
        assertEquals(new Start.Uniform(1 / Math.sqrt(18)), adapted.starts().get("head.lora_A.weight"));
        assertEquals(new Start.Constant(0), adapted.starts().get("head.lora_B.weight"));
        assertEquals(network().graph().nodes().size(), adapted.graph().nodes().size());
    }

    @Test
    void slicesStackTheirPairs() {
        LowRankLayer q = new LowRankLayer("qkv", RANK, 1, 0.1, List.of(new LowRankLayer.Slice(0, 6), new LowRankLayer.Slice(12, 6)));
        Network adapted = LowRankGraph.insert(network(), List.of(q), "task");
        assertEquals(List.of(2L * RANK, 6L), dims(adapted, "qkv.lora_A.task.weight"));
        assertEquals(List.of(12L, (long) RANK), dims(adapted, "qkv.lora_B.task.weight"));
        Node node = (Node) adapted.graph().entry("qkv");
        assertEquals(Map.of("factor", 1.0, "slices", 2.0, "width", 6.0, "start0", 0.0, "start1", 12.0), node.attributes());
        assertTrue(adapted.graph().find("qkv.lora_dropout.task").isPresent());
        assertEquals("qkv", adapted.graph().outputs().get(Network.FEATURES).name());
    }

    @Test
    void convolutionGetsTwoBesideIt() {
        Network adapted = LowRankGraph.insert(network(), List.of(new LowRankLayer("conv", RANK, 2)), null);
        assertEquals(List.of((long) RANK, 3L, 3L, 3L), dims(adapted, "conv.lora_A.weight"));
        assertEquals(List.of(6L, 1L, 1L, (long) RANK), dims(adapted, "conv.lora_B.weight"));
        Node down = (Node) adapted.graph().entry("conv.lora_A");
        assertEquals(((Node) network().graph().entry("conv")).attributes(), down.attributes());
        assertEquals("conv.lora", ((Node) adapted.graph().entry("grouped")).inputs().get(0).name());
        assertEquals(List.of("conv.lora_A.weight", "conv.lora_B.weight"),
                adapted.groups().get(0).parameters().stream().filter(p -> p.contains("lora")).toList());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
            "absent   | no layer absent that could be adapted; the first are [conv, qkv, head]",
            "grouped  | grouped cannot be adapted: it is a convolution of 6 groups",
            "tied     | tied cannot be adapted: its weight is read by 2 operations"})
    void whatCannotBeAdaptedIsNamed(String module, String message) {
        Exception e = assertThrows(IllegalArgumentException.class,
                () -> LowRankGraph.insert(network(), List.of(new LowRankLayer(module, RANK, 1)), null));
        assertEquals(message, e.getMessage());
    }

    @Test
    void numbersAreChecked() {
        assertThrows(IllegalArgumentException.class, () -> new LowRankLayer("head", 0, 1));
        assertThrows(IllegalArgumentException.class, () -> new LowRankLayer("head", RANK, Double.NaN));
        assertThrows(IllegalArgumentException.class, () -> new LowRankLayer("head", RANK, 1, 1, List.of()));
        List<LowRankLayer.Slice> overlapping = List.of(new LowRankLayer.Slice(0, 6), new LowRankLayer.Slice(5, 6));
        assertThrows(IllegalArgumentException.class, () -> new LowRankLayer("qkv", RANK, 1, 0, overlapping));
        LowRankLayer outside = new LowRankLayer("qkv", RANK, 1, 0, List.of(new LowRankLayer.Slice(13, 6)));
        assertThrows(IllegalArgumentException.class, () -> LowRankGraph.insert(network(), List.of(outside), null));
        List<LowRankLayer> twice = List.of(new LowRankLayer("head", RANK, 1), new LowRankLayer("head", RANK, 1));
        assertThrows(IllegalArgumentException.class, () -> LowRankGraph.insert(network(), twice, null));
    }
}
