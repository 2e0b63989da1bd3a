package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Every method of the builder speaks the native operation's own names: the engine takes it and infers the sizes. */
class OperationsTest {
    private final GraphBuilder g = Graph.builder();
    private final Value image = g.input("image", DType.F32, 0, 9, 8, 4);
    private final Value rows = g.input("rows", DType.F32, 0, 6);
    private final Value sequence = g.input("sequence", DType.F32, 0, 5, 6);

    private void sized(String name, long... dims) {
        assertEquals(Dims.of(dims), g.build().dims(name), name);
    }

    @Test
    void products() {
        g.linear("linear", sequence, g.parameter("w", 3, 6), g.parameter("b", 3));
        sized("linear", 0, 5, 3);
        g.matmul("matmul", sequence, g.transpose("t", sequence, 0, 2, 1));
        sized("matmul", 0, 5, 5);
        g.matmul("scores", sequence, sequence, false, true, 0.5);
        sized("scores", 0, 5, 5);
        Value filter = g.parameter("filter", 8, 3, 3, 2);
        g.conv2d("conv", image, filter, null, Conv2d.DEFAULT.stride(2).pad(0, 0, 1, 1).groups(2));
        sized("conv", 0, 4, 4, 8);
        g.conv2d("dilated", image, filter, g.parameter("bias", 8), Conv2d.DEFAULT.pad(2).dilation(2).groups(2));
        sized("dilated", 0, 9, 8, 8);
    }

    @Test
    void lowRankUpdates() {
        Value weight = g.parameter("w", 9, 6);
        Value bias = g.parameter("bias", 9);
        g.loraLinear("whole", sequence, weight, bias, g.parameter("a", 2, 6), g.parameter("b", 9, 2), 0.5);
        sized("whole", 0, 5, 9);
        Value adapter = g.input("adapter", DType.I32, 0);
        LowRank update = LowRank.of(0.5).slices(3, 0, 6).reading(g.dropout("z", sequence, 0.1))
                .adapters(adapter, g.parameter("scales", 4));
        g.loraLinear("grouped", sequence, weight, bias, g.parameter("as", 4, 4, 6), g.parameter("bs", 4, 6, 2), update);
        sized("grouped", 0, 5, 9);
    }

    @Test
    void norms() {
        g.batchNorm("bn", image, g.parameter("w", 4), g.parameter("b", 4), g.buffer("mean", 4), g.buffer("var", 4), 1e-5, 0.1);
        sized("bn", 0, 9, 8, 4);
        g.layerNorm("ln", rows, g.parameter("lw", 6), g.parameter("lb", 6), 1e-6);
        sized("ln", 0, 6);
    }

    @Test
    void attention() {
        Value keys = g.input("keys", DType.I32, 0);
        Value memory = g.input("memory", DType.F32, 0, 7, 6);
        g.attention("cross", sequence, memory, memory, keys, 3, false);
        sized("cross", 0, 5, 6);
        g.attention("causal", sequence, memory, memory, null, 2, true);
        sized("causal", 0, 5, 6);
        g.selfAttention("self", sequence, 2);
        sized("self", 0, 5, 2);
        g.selfAttention("self.padded", sequence, keys, 1, true);
        sized("self.padded", 0, 5, 2);
        g.embedTokens("embed", sequence, g.parameter("token", 1, 2, 6), g.parameter("position", 1, 7, 6));
        sized("embed", 0, 7, 6);
    }

    @Test
    void pointwise() {
        g.relu("relu", rows);
        g.relu6("relu6", rows);
        g.leakyRelu("leaky", rows, 0.1);
        g.gelu("gelu", rows, false);
        g.gelu("gelu.tanh", rows, true);
        g.silu("silu", rows);
        g.sigmoid("sigmoid", rows);
        g.scale("scale", rows, 2, -1);
        g.dropout("dropout", rows, 0.5);
        g.dropPath("drop.path", rows, 0.5);
        g.softmax("softmax", rows, false);
        g.softmax("log.softmax", rows, true);
        g.add("add", rows, g.parameter("shift", 6));
        g.multiply("multiply", rows, rows);
        for (Node node : g.build().nodes()) {
            sized(node.name(), 0, 6);
        }
    }

    @Test
    void pools() {
        g.maxPool("max", image, Pool2d.of(3).stride(2).pad(1));
        sized("max", 0, 5, 4, 4);
        g.maxPool("max.ceil", image, Pool2d.of(2).ceilMode(true));
        sized("max.ceil", 0, 5, 4, 4);
        g.avgPool("avg", image, Pool2d.of(2).countPadding(false));
        sized("avg", 0, 4, 4, 4);
        g.globalPool("mean", image, false, false);
        sized("mean", 0, 4);
        g.globalPool("largest", image, true, true);
        sized("largest", 0, 1, 1, 4);
    }

    @Test
    void movements() {
        g.reshape("flat", image, 0, -1);
        sized("flat", 0, 288);
        g.transpose("transposed", image, 0, 3, 1, 2);
        sized("transposed", 0, 4, 9, 8);
        g.concat("concat", 1, rows, rows, rows);
        sized("concat", 0, 18);
        g.slice("slice", sequence, 1, 1, 5, 2);
        sized("slice", 0, 2, 6);
        g.pad("pad", image, 3, 1, 2);
        sized("pad", 0, 9, 8, 7);
    }

    @Test
    void losses() {
        Value label = g.input("label", DType.I32, 0);
        Value soft = g.input("soft", DType.F32, 0, 6);
        g.softmaxCrossEntropy("ce", rows, label);
        g.softmaxCrossEntropy("ce.weighted", rows, label, g.parameter("weights", 6), 0.1, -1);
        g.softmaxCrossEntropy("ce.soft", rows, soft);
        g.linearCrossEntropy("ce.head", rows, g.parameter("head", 9, 6), g.parameter("head.bias", 9), label, null, 0.1, -100);
        g.bceWithLogits("bce", rows, soft);
        g.mse("mse", rows, soft);
        g.mae("mae", rows, soft);
        Graph graph = g.build();
        assertEquals(List.of("ce", "ce.weighted", "ce.soft", "ce.head", "bce", "mse", "mae"), graph.losses());
        graph.losses().forEach(graph::dims);
    }
}
