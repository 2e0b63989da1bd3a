package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class GraphTest {
    @Test
    void namesAreUnique() {
        GraphBuilder g = Graph.builder();
        Value x = g.input("x", DType.F32, 0, 2);
        g.relu("a", x);
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> g.relu("a", x));
        assertTrue(e.getMessage().contains("a twice"), e.getMessage());
    }

    @Test
    void namesHoldNoSeparators() {
        for (String name : List.of("", "a b", "a,b", "a=b", "a\nb")) {
            assertThrows(IllegalArgumentException.class, () -> Graph.builder().input(name, DType.F32, 1), name);
        }
    }

    @Test
    void valuesOfAnotherGraphAreRefused() {
        Value foreign = Graph.builder().input("y", DType.F32, 0, 2);
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> Graph.builder().relu("a", foreign));
        assertEquals("a reads y, which is not defined before it", e.getMessage());
    }

    @Test
    void optionalOperandsMayBeLeftOut() {
        GraphBuilder g = Graph.builder();
        Value x = g.input("x", DType.F32, 0, 2);
        Value b = g.parameter("b", 2);
        g.layerNorm("plain", x, null, null, 1e-5);
        g.output("y", g.layerNorm("bias.only", x, null, b, 1e-5));
        assertEquals(1, ((Node) g.build().entry("plain")).inputs().size());
        assertEquals(List.of("x", "", "b"), ((Node) g.build().entry("bias.only")).inputs().stream().map(Value::name).toList());
        Graph renamed = g.build().rename("b", "shift");
        assertEquals(g.build(), renamed.rename("shift", "b"));
        assertEquals(List.of(0L, 2L), renamed.dims("bias.only"));
    }

    @Test
    void equalContentIsEqual() {
        assertEquals(Mlp.graph(), Mlp.graph());
        assertEquals(Mlp.graph().hashCode(), Mlp.graph().hashCode());
        assertNotEquals(Mlp.graph(0.5), Mlp.graph(0.25));
        assertNotEquals(Mlp.graph(), Mlp.graph().withOutputs(Map.of()));
    }

    @Test
    void entriesAreReadAfterTheyAreDefined() {
        List<Entry> reversed = new java.util.ArrayList<>(Mlp.graph().entries());
        java.util.Collections.reverse(reversed);
        assertThrows(IllegalArgumentException.class, () -> Graph.of(reversed, Map.of()));
    }

    @Test
    void renamingReachesEveryReader() {
        Graph renamed = Mlp.graph().rename("relu", "act").rename("fc2", "head");
        assertEquals(List.of("act"), ((Node) renamed.entry("head")).inputs().stream().map(Value::name).limit(1).toList());
        assertEquals("head", renamed.outputs().get("logits").name());
        assertEquals(Mlp.graph(), renamed.rename("act", "relu").rename("head", "fc2"));
    }

    @Test
    void replacementTakesTheNodesPlace() {
        Graph low = Mlp.graph().replace("fc1", (g, fc1) -> {
            Value a = g.parameter("fc1.lora_a", 2, Mlp.IN);
            Value b = g.parameter("fc1.lora_b", Mlp.HIDDEN, 2);
            Value base = g.add(fc1);
            Value branch = g.linear("fc1.lora", g.linear("fc1.low", fc1.inputs().get(0), a, null), b, null);
            return g.add("fc1.sum", base, branch);
        });
        assertEquals("fc1.sum", ((Node) low.entry("relu")).inputs().get(0).name());
        assertEquals("fc1", ((Node) low.entry("fc1.sum")).inputs().get(0).name());
        assertEquals(6, low.parameters().size());
    }

    @Test
    void sizesAreInferredWithTheBatchOpen() {
        assertEquals(List.of(0L, (long) Mlp.HIDDEN), Mlp.graph().dims("relu"));
        GraphBuilder g = Graph.builder();
        g.globalPool("pool", g.maxPool("max", g.input("x", DType.F32, 0, 8, 6, 3), Pool2d.of(2)), false, false);
        assertEquals(List.of(0L, 4L, 3L, 3L), g.build().dims("max"));
        assertEquals(List.of(0L, 3L), g.build().dims("pool"));
    }

    @Test
    void unknownAttributesAreListedByTheEngine() {
        GraphBuilder g = Graph.builder();
        g.node("linear", "fc", Map.of("strid", 1.0), g.input("x", DType.F32, 0, 2), g.parameter("w", 3, 2));
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> g.build().dims("fc"));
        assertTrue(e.getMessage().contains("fc") && e.getMessage().contains("strid"), e.getMessage());
    }
}
