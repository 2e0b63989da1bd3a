package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class SplitTest {
    private static final int BATCH = 16;

    @Test
    void theCutIsWhereTheFirstTrainableFlowsIn() {
        Split split = Mlp.graph().split(Set.of("fc2.bias"));
        assertEquals(List.of("relu"), split.boundary());
        assertEquals(List.of("fc1", "relu"), split.prefix().nodes().stream().map(Node::name).toList());
        assertEquals(List.of("fc2", "loss"), split.suffix().nodes().stream().map(Node::name).toList());
        assertEquals(List.of("fc1.weight", "fc1.bias"), split.prefix().parameters().stream().map(Param::name).toList());
        assertEquals(List.of("fc2.weight", "fc2.bias"), split.suffix().parameters().stream().map(Param::name).toList());
        assertEquals(List.of("label", "relu"), split.suffix().inputs().stream().map(Input::name).toList());
        assertEquals(List.of(0L, (long) Mlp.HIDDEN), ((Input) split.suffix().entry("relu")).dims());
    }

    @Test
    void randomNodesNeverBelongToThePrefix() {
        assertEquals(List.of("relu"), Mlp.graph(0.5).split(Set.of("fc2.weight")).boundary());
    }

    @Test
    void aTrainableFirstLayerLeavesNoPrefix() {
        Split split = Mlp.graph().split(Set.of("fc1.weight"));
        assertEquals(List.of(), split.boundary());
        assertTrue(split.prefix().nodes().isEmpty());
        assertEquals(Mlp.graph(), split.suffix());
    }

    @Test
    void branchesEachHandOverTheirLastFrozenValue() {
        GraphBuilder g = Graph.builder();
        Value x = g.input("x", DType.F32, 0, 4);
        Value frozen = g.relu("frozen", x);
        Value live = g.linear("live", x, g.parameter("w", 4, 4), null);
        Value scale = g.scale("frozen.weight.scaled", g.parameter("v", 4), 2, 0);
        Value product = g.multiply("product", frozen, scale);
        g.output("sum", g.add("sum", g.add("mix", live, frozen), product));
        Split split = g.build().split(Set.of("w"));
        assertEquals(List.of("frozen", "product"), split.boundary());
        assertEquals(List.of("x", "frozen", "product"),
                split.suffix().inputs().stream().map(Input::name).toList());
    }

    @Test
    void valuesOfParametersAloneAreComputedWhereTheyAreRead() {
        GraphBuilder g = Graph.builder();
        Value doubled = g.scale("doubled", g.parameter("w", 3, 4), 2, 0);
        Value y = g.linear("fc", g.input("x", DType.F32, 0, 4), doubled, g.parameter("b", 3));
        g.output("y", y);
        Split split = g.build().split(Set.of("b"));
        assertEquals(List.of(), split.boundary());
        assertEquals(List.of("doubled", "fc"), split.suffix().nodes().stream().map(Node::name).toList());
    }

    @Test
    void unknownTrainablesAreRefused() {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> Mlp.graph().split(Set.of("fc3.weight")));
        assertEquals("graph has no parameter named fc3.weight", e.getMessage());
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void suffixGradientsEqualTheWholePlans(String column) {
        Graph graph = Mlp.graph();
        Split split = graph.split(Set.of("fc2.weight", "fc2.bias"));
        try (Device device = Device.open(column, 2, 1); Parameters parameters = Mlp.parameters(device, graph)) {
            PlanOptions options = Mlp.sgd(BATCH, "fc2.weight", "fc2.bias").fold(false).build();
            Plan whole = Mlp.plan(parameters, graph, options);
            whole.gradients();

            Plan prefix = Plan.compile(split.prefix(), parameters, PlanOptions.eval(BATCH).fold(false).build());
            prefix.input("x").write(Mlp.x(BATCH));
            prefix.forward();
            Plan suffix = Plan.compile(split.suffix(), parameters, options);
            suffix.input("relu").write(prefix.read("relu"));
            suffix.input("label").write(Mlp.labels(BATCH));
            suffix.gradients();

            assertEquals(whole.loss(), suffix.loss());
            assertArrayEquals(whole.gradient("fc2.weight"), suffix.gradient("fc2.weight"));
            assertArrayEquals(whole.gradient("fc2.bias"), suffix.gradient("fc2.bias"));
        }
    }
}
