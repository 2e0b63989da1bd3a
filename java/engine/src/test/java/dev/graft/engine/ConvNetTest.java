package dev.graft.engine;

import static dev.graft.engine.TrainingTest.assertClose;
import static dev.graft.engine.TrainingTest.widen;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A small convolutional network with a residual and a norm: the CPU column against the reference, folded against not. */
class ConvNetTest {
    private static final int BATCH = 6;
    private static final int SIDE = 9;
    private static final int CHANNELS = 8;
    private static final String[] HEAD = {"fc.weight", "fc.bias"};

    private static Graph graph() {
        GraphBuilder g = Graph.builder();
        Value x = g.input("x", DType.F32, 0, SIDE, SIDE, 3);
        Value stem = g.relu("relu1", norm(g, "bn1", g.conv2d("conv1", x, g.parameter("conv1.weight", CHANNELS, 3, 3, 3), null,
                Conv2d.DEFAULT.pad(1))));
        Value branch = norm(g, "bn2", g.conv2d("conv2", stem, g.parameter("conv2.weight", CHANNELS, 3, 3, CHANNELS), null,
                Conv2d.DEFAULT.pad(1)));
        Value joined = g.relu("relu2", g.add("add", branch, stem));
        Value pooled = g.globalPool("pool", g.maxPool("max", joined, Pool2d.of(3).stride(2).pad(1)), false, false);
        Value logits = g.linear("fc", pooled, g.parameter("fc.weight", Mlp.CLASSES, CHANNELS), g.parameter("fc.bias", Mlp.CLASSES));
        g.softmaxCrossEntropy("loss", logits, g.input("label", DType.I32, 0));
        return g.output("logits", logits).build();
    }

    private static Value norm(GraphBuilder g, String name, Value x) {
        return g.batchNorm(name, x, g.parameter(name + ".weight", CHANNELS), g.parameter(name + ".bias", CHANNELS),
                g.buffer(name + ".running_mean", CHANNELS), g.buffer(name + ".running_var", CHANNELS), 1e-5, 0.1);
    }

    private static Parameters parameters(Device device) {
        Parameters parameters = device.parameters().declare(graph(), Origin.CHECKPOINT);
        for (Parameters.Declared d : parameters.declarations()) {
            float[] values = Mlp.normal(d.name(), (int) d.count(), 0.3f);
            if (d.name().endsWith("running_var")) {
                for (int i = 0; i < values.length; i++) {
                    values[i] = 1 + values[i] * values[i];
                }
            }
            parameters.write(d.name(), values);
        }
        return parameters;
    }

    private static void feed(Plan plan) {
        plan.input("x").write(Mlp.normal("pictures", BATCH * SIDE * SIDE * 3, 1));
        plan.input("label").write(Mlp.labels(BATCH));
    }

    private static String[] trainables() {
        return graph().parameters().stream().filter(p -> !p.buffer()).map(Param::name).toArray(String[]::new);
    }

    /** Everything after three steps of training all layers with batch statistics. */
    private static Map<String, float[]> trained(String column) {
        Map<String, float[]> result = new TreeMap<>();
        try (Device device = Device.open(column, 2, 1); Parameters parameters = parameters(device)) {
            PlanOptions.Builder options = PlanOptions.train(BATCH, new Optimizer.Sgd(0.9, true)).train(trainables());
            graph().parameters().stream().filter(Param::buffer).forEach(p -> options.track(p.name()));
            Plan plan = Plan.compile(graph(), parameters, options.build());
            feed(plan);
            plan.rate(0, 0.05);
            plan.decay(0, 0.01);
            for (int i = 0; i < 3; i++) {
                plan.step();
            }
            parameters.declarations().forEach(d -> result.put(d.name(), parameters.read(d.name())));
        }
        return result;
    }

    @Test
    void theFastColumnTrainsAsTheReferenceDoes() {
        Map<String, float[]> reference = trained("reference");
        Map<String, float[]> fast = trained("cpu");
        // Sums of up to 486 products in another order, three steps on.
        reference.forEach((name, values) -> assertClose(name, widen(values), fast.get(name), 1e-4));
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void foldingChangesRoundingOnly(String column) {
        try (Device device = Device.open(column, 2, 1); Parameters parameters = parameters(device)) {
            float[] plain = logits(parameters, PlanOptions.eval(BATCH).fold(false).fuse(false));
            float[] folded = logits(parameters, PlanOptions.eval(BATCH));
            assertClose("logits", widen(plain), folded, 1e-5);
        }
    }

    @Test
    void bfloat16StaysNearSinglePrecision() {
        try (Device device = Device.open("cpu", 2, 1); Parameters parameters = parameters(device)) {
            float[] single = logits(parameters, PlanOptions.eval(BATCH));
            float[] half;
            try {
                half = logits(parameters, PlanOptions.eval(BATCH).precision(Precision.BF16));
            } catch (UnavailableException e) {
                Assumptions.abort(e.getMessage());
                return;
            }
            // Eight bits of mantissa, four layers.
            assertClose("logits", widen(single), half, 4 * 0x1p-7);
            assertFalse(Arrays.equals(single, half), "the plan did not compute in bf16");
        }
    }

    private static float[] logits(Parameters parameters, PlanOptions.Builder options) {
        try (Plan plan = Plan.compile(graph().prefix("fc"), parameters, options.build())) {
            plan.input("x").write(Mlp.normal("pictures", BATCH * SIDE * SIDE * 3, 1));
            plan.forward();
            return plan.read("logits");
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void frozenNormsAndStatisticsStayBitForBit(String column) {
        try (Device device = Device.open(column, 2, 1); Parameters parameters = parameters(device)) {
            Map<String, float[]> before = new TreeMap<>();
            parameters.declarations().forEach(d -> before.put(d.name(), parameters.read(d.name())));
            Plan plan = Plan.compile(graph(), parameters,
                    PlanOptions.train(BATCH, new Optimizer.AdamW()).train(HEAD).build());
            feed(plan);
            plan.rate(0, 0.01);
            for (int i = 0; i < 5; i++) {
                plan.step();
            }
            before.forEach((name, values) -> {
                if (name.startsWith("fc.")) {
                    assertFalse(Arrays.equals(values, parameters.read(name)), name);
                } else {
                    assertArrayEquals(values, parameters.read(name), name);
                }
            });
        }
    }
}
