package dev.graft.golden;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import dev.graft.engine.DType;
import dev.graft.engine.Device;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Origin;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Value;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Results and gradients of single operations and losses against PyTorch in F64, through the plan. Every float operand is a
 * trainable parameter; the first is added to an input of zeros, so that it has the plan's batch.
 */
class OperationsGoldenTest {
    /** Over the largest value of a tensor: F32 sums of at most some hundred terms. */
    private static final double TOLERANCE = 2e-5;
    private static final Set<String> PICTURES = Set.of("conv2d", "max_pool", "avg_pool", "global_pool", "batch_norm");
    private static final Set<String> NO_ATTRIBUTES = Set.of("op", "operands", "train", "weighted");

    static Stream<Arguments> operations() {
        return cases("operations");
    }

    static Stream<Arguments> losses() {
        return cases("losses");
    }

    private static Stream<Arguments> cases(String file) {
        JsonNode cases = GoldenFile.open(file).json("cases");
        Iterable<String> names = cases::fieldNames;
        return StreamSupport.stream(names.spliterator(), false)
                .flatMap(name -> Stream.of("reference", "cpu").map(column -> Arguments.of(name, column)));
    }

    @ParameterizedTest
    @MethodSource("operations")
    void resultAndGradientsEqualPyTorchs(String name, String column) {
        Case c = new Case("operations", name);
        GraphBuilder graph = Graph.builder();
        Value y = graph.node(c.op(), "y", c.attributes(), c.operands(graph).toArray(new Value[0]));
        graph.output("y", y);
        long[] dims = c.dims("y");
        long batch = dims[0];
        dims[0] = 0;
        graph.mse("loss", y, graph.input("target", DType.F32, dims));
        try (Device device = Device.open(column, 1, 1)) {
            Plan plan = c.plan(device, graph.build(), Math.toIntExact(batch));
            float[] expected = c.values("y");
            float[] upstream = c.values("dy");
            float[] target = new float[expected.length];
            for (int i = 0; i < target.length; i++) {
                // the gradient of the mean squared distance to this target is the upstream gradient
                target[i] = (float) (expected[i] - (double) upstream[i] * target.length / 2);
            }
            plan.input("target").write(target);
            plan.gradients();
            c.check("y", plan.read("y"));
            c.checkGradientsAndStatistics(plan);
        }
    }

    @ParameterizedTest
    @MethodSource("losses")
    void lossAndGradientEqualPyTorchs(String name, String column) {
        Case c = new Case("losses", name);
        GraphBuilder graph = Graph.builder();
        List<Value> operands = c.operands(graph);
        long[] dims = c.golden.dims(name + "/target");
        long batch = dims[0];
        dims[0] = 0;
        boolean classes = dims.length == 1;
        operands.add(graph.input("target", classes ? DType.I32 : DType.F32, dims));
        if (c.facts.path("weighted").asBoolean()) {
            operands.add(graph.parameter("class_weight", c.golden.dims(name + "/weight")));
        }
        graph.node(c.op(), "loss", c.attributes(), operands.toArray(new Value[0]));
        try (Device device = Device.open(column, 1, 1)) {
            Plan plan = c.plan(device, graph.build(), Math.toIntExact(batch));
            if (classes) {
                plan.input("target").write(Arrays.stream(c.golden.values(name + "/target")).mapToInt(v -> (int) v).toArray());
            } else {
                plan.input("target").write(c.values("target"));
            }
            plan.gradients();
            double loss = c.golden.values(name + "/y")[0];
            assertEquals(loss, plan.loss(), TOLERANCE * Math.abs(loss), "loss");
            c.checkGradientsAndStatistics(plan);
        }
    }

    /** One case of a fixture; tensors in the engine's layout. */
    private static final class Case {
        private final GoldenFile golden;
        private final String name;
        private final JsonNode facts;

        Case(String file, String name) {
            this.golden = GoldenFile.open(file);
            this.name = name;
            this.facts = golden.json("cases").get(name);
        }

        String op() {
            return facts.get("op").textValue();
        }

        Map<String, Double> attributes() {
            Map<String, Double> attributes = new HashMap<>();
            facts.fieldNames().forEachRemaining(key -> {
                if (!NO_ATTRIBUTES.contains(key)) {
                    attributes.put(key, facts.get(key).doubleValue());
                }
            });
            return attributes;
        }

        List<Value> operands(GraphBuilder graph) {
            List<Value> operands = new ArrayList<>();
            for (JsonNode role : facts.get("operands")) {
                String operand = role.textValue();
                long[] dims = dims(operand);
                Value value = operand.startsWith("running") ? graph.buffer(operand, dims) : graph.parameter(operand, dims);
                if (operands.isEmpty()) {
                    dims[0] = 0;
                    value = graph.add("with_batch", graph.input("zeros", DType.F32, dims), value);
                }
                operands.add(value);
            }
            return operands;
        }

        Plan plan(Device device, Graph graph, int batch) {
            Parameters parameters = device.parameters().declare(graph, Origin.HEAD);
            PlanOptions.Builder options = PlanOptions.train(batch, new Optimizer.Sgd(0, false));
            for (Param p : graph.parameters()) {
                parameters.write(p.name(), values(p.name().equals("class_weight") ? "weight" : p.name()));
                if (golden.names().contains(name + "/d" + p.name())) {
                    options.train(p.name());
                }
                if (p.buffer() && facts.get("train").asBoolean()) {
                    options.track(p.name());
                }
            }
            Plan plan = Plan.compile(graph, parameters, options.build());
            plan.input("zeros").write(new float[Math.toIntExact(plan.input("zeros").count())]);
            return plan;
        }

        void checkGradientsAndStatistics(Plan plan) {
            for (Param p : plan.graph().parameters()) {
                if (golden.names().contains(name + "/d" + p.name())) {
                    check("d" + p.name(), plan.read("gradient:" + p.name()));
                } else if (p.buffer()) {
                    check(p.name() + "_after", plan.parameters().read(p.name()));
                }
            }
        }

        void check(String role, float[] actual) {
            float[] expected = values(role);
            float largest = 0;
            for (float value : expected) {
                largest = Math.max(largest, Math.abs(value));
            }
            assertEquals(expected.length, actual.length, role);
            for (int i = 0; i < expected.length; i++) {
                assertEquals(expected[i], actual[i], TOLERANCE * largest, name + ": " + role + "[" + i + "]");
            }
        }

        /** Sizes, pictures and kernels with their channels last. */
        long[] dims(String role) {
            long[] d = golden.dims(name + "/" + role);
            return picture(d) ? new long[] {d[0], d[2], d[3], d[1]} : d;
        }

        /** Elements, pictures and kernels with their channels last. */
        float[] values(String role) {
            double[] values = golden.values(name + "/" + role);
            long[] d = golden.dims(name + "/" + role);
            float[] result = new float[values.length];
            int plane = picture(d) ? (int) (d[2] * d[3]) : 1;
            int channels = picture(d) ? (int) d[1] : 1;
            for (int i = 0; i < result.length; i++) {
                int channel = i / plane % channels;
                result[i - i % (plane * channels) + i % plane * channels + channel] = (float) values[i];
            }
            return result;
        }

        private boolean picture(long[] dims) {
            return dims.length == 4 && PICTURES.contains(op());
        }
    }
}
