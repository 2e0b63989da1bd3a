package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.graft.engine.DType;
import dev.graft.engine.Device;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Origin;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Value;
import dev.graft.golden.GoldenFile;
import dev.graft.golden.WeightFormula;
import dev.graft.weights.SafetensorsWriter;
import dev.graft.weights.TensorSource;
import dev.graft.weights.WeightFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Twenty updates with given gradients are those of torch.optim: rules, decay, clipping and the pull to the start. The gradient of
 * mean(|w * x + 10^6|) by w is x over the number of elements, so that an input sets it.
 */
class OptimizerTest {
    /** F32 against F64: some roundings an update. */
    private static final double ROUNDING = 1e-5;
    private static final float FAR = -1e6f;

    @TempDir
    Path folder;

    static Stream<String> cases() {
        List<String> names = new ArrayList<>();
        GoldenFile.open("optimizers").json("cases").fieldNames().forEachRemaining(names::add);
        return names.stream().flatMap(name -> Stream.of(name + " on cpu", name + " on reference"));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void updatesAreThoseOfPyTorch(String which) {
        String name = which.split(" ")[0];
        GoldenFile golden = GoldenFile.open("optimizers");
        JsonNode options = golden.json("cases").get(name);
        Map<String, long[]> dims = new LinkedHashMap<>();
        List.of("weight", "bias").forEach(p -> dims.put(p, golden.dims("start/" + p)));
        try (Device device = Device.open(which.split(" ")[2], 1, 1); Parameters parameters = device.parameters();
                WeightFile file = start(golden, dims)) {
            Plan plan = Plan.compile(graph(dims), parameters(parameters, file, dims), options(options));
            for (int group = 0; group < 2; group++) {
                plan.rate(group, options.get("rate").doubleValue());
                plan.anchor(group, options.get("anchor").doubleValue());
            }
            plan.decay(0, options.get("decay").doubleValue());
            plan.clip(options.get("clip").doubleValue());
            dims.forEach((p, d) -> plan.input("target." + p).write(far(d)));
            double[] norms = golden.values(name + "/norms");
            for (int step = 0; step < norms.length; step++) {
                for (String p : dims.keySet()) {
                    int count = count(dims.get(p));
                    double[] gradients = golden.values("gradients/" + p);
                    float[] x = new float[count];
                    for (int i = 0; i < count; i++) {
                        x[i] = (float) (gradients[step * count + i] * count);
                    }
                    plan.input("gradient." + p).write(x);
                }
                plan.step();
                assertEquals(norms[step], plan.gradientNorm(), ROUNDING * norms[step], "norm before clipping at step " + step);
                for (String p : dims.keySet()) {
                    int count = count(dims.get(p));
                    double[] path = golden.values(name + "/" + p);
                    close(Arrays.copyOfRange(path, step * count, (step + 1) * count), parameters.read(p), which + ": " + p + " after step " + step);
                }
            }
        }
    }

    @Test
    void pullToTheStartAloneDecaysTheDistance() {
        Map<String, long[]> dims = new LinkedHashMap<>();
        dims.put("weight", new long[] {4, 4});
        dims.put("bias", new long[] {4});
        try (Device device = Device.open("cpu", 1, 1); Parameters parameters = device.parameters();
                WeightFile file = formula(dims)) {
            parameters(parameters, file, dims);
            float[] start = parameters.read("weight");
            float[] moved = start.clone();
            for (int i = 0; i < moved.length; i++) {
                moved[i] += i - 8;
            }
            parameters.write("weight", moved);
            PlanOptions options = PlanOptions.train(1, new Optimizer.Sgd(0, false)).train("weight").anchor(true).build();
            Plan plan = Plan.compile(graph(dims), parameters, options);
            plan.rate(0, 0.1);
            plan.anchor(0, 0.5);
            dims.forEach((p, d) -> {
                plan.input("gradient." + p).write(new float[count(d)]);
                plan.input("target." + p).write(far(d));
            });
            for (int step = 0; step < 10; step++) {
                plan.step();
            }
            // d' = d - rate * strength * d: after ten updates (1 - 0.05)^10 of the distance
            double[] expected = new double[start.length];
            for (int i = 0; i < expected.length; i++) {
                expected[i] = start[i] + Math.pow(0.95, 10) * (i - 8);
            }
            close(expected, parameters.read("weight"), "weight");
        }
    }

    private WeightFile start(GoldenFile golden, Map<String, long[]> dims) {
        List<TensorSource> tensors = new ArrayList<>();
        dims.forEach((name, d) -> {
            double[] values = golden.values("start/" + name);
            float[] floats = new float[values.length];
            for (int i = 0; i < floats.length; i++) {
                floats[i] = (float) values[i];
            }
            tensors.add(TensorSource.of(name, floats, d));
        });
        return write(tensors);
    }

    private WeightFile formula(Map<String, long[]> dims) {
        return write(dims.entrySet().stream().map(e -> TensorSource.of(e.getKey(), WeightFormula.tensor(e.getKey(), e.getValue()), e.getValue()))
                .toList());
    }

    private WeightFile write(List<TensorSource> tensors) {
        Path path = folder.resolve("start.safetensors");
        SafetensorsWriter.write(path, Map.of(), tensors);
        return WeightFile.open(path);
    }

    private static Graph graph(Map<String, long[]> dims) {
        GraphBuilder b = Graph.builder();
        dims.forEach((name, d) -> {
            long[] batch = new long[d.length + 1];
            System.arraycopy(d, 0, batch, 1, d.length);
            Value x = b.multiply("product." + name, b.input("gradient." + name, DType.F32, batch), b.parameter(name, d));
            b.mae("loss." + name, x, b.input("target." + name, DType.F32, batch));
        });
        return b.build();
    }

    private static Parameters parameters(Parameters parameters, WeightFile file, Map<String, long[]> dims) {
        dims.forEach((name, d) -> {
            List<Long> sizes = Arrays.stream(d).boxed().toList();
            int[] order = new int[d.length];
            Arrays.setAll(order, i -> i);
            parameters.declare(name, sizes, false, Origin.CHECKPOINT);
            parameters.fromFile(name, file.tensor(name).file(), file.tensor(name).offset(), DType.F32, sizes, order);
        });
        return parameters;
    }

    private static PlanOptions options(JsonNode o) {
        double beta1 = o.get("beta1").doubleValue();
        double beta2 = o.get("beta2").doubleValue();
        double eps = o.get("epsilon").doubleValue();
        Optimizer optimizer = switch (o.get("kind").textValue()) {
            case "sgd" -> new Optimizer.Sgd(o.get("momentum").doubleValue(), o.get("nesterov").booleanValue());
            case "adam" -> new Optimizer.Adam(beta1, beta2, eps);
            default -> new Optimizer.AdamW(beta1, beta2, eps);
        };
        // watch and clip are on in all cases: gradientNorm is measured where clipping is
        return PlanOptions.train(1, optimizer).train("weight", 0).train("bias", 1).clip(true).watch(true)
                .anchor(o.get("anchor").doubleValue() > 0).build();
    }

    private static float[] far(long[] dims) {
        float[] values = new float[count(dims)];
        Arrays.fill(values, FAR);
        return values;
    }

    private static int count(long[] dims) {
        return (int) Arrays.stream(dims).reduce(1, Math::multiplyExact);
    }

    private static void close(double[] expected, float[] actual, String what) {
        double magnitude = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
        for (int i = 0; i < expected.length; i++) {
            assertTrue(Math.abs(actual[i] - expected[i]) <= ROUNDING * magnitude, what + ": element " + i + " is " + actual[i] + ", expected " + expected[i]);
        }
    }
}
