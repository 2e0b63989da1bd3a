package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Laws of a training plan, on the smallest network. */
class TrainingTest {
    private static final int BATCH = 16;
    // F32 sums of at most 16 terms against double.
    private static final double ROUNDING = 1e-5;

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void lossFallsAndFrozenLayersStayBitForBit(String column) {
        Graph graph = Mlp.graph();
        try (Device device = Device.open(column, 2, 1); Parameters parameters = Mlp.parameters(device, graph)) {
            float[] weight = parameters.read("fc1.weight");
            float[] bias = parameters.read("fc1.bias");
            float[] head = parameters.read("fc2.weight");
            Plan plan = Mlp.plan(parameters, graph, Mlp.sgd(BATCH, "fc2.weight", "fc2.bias").build());
            plan.step();
            double first = plan.loss();
            for (int i = 0; i < 100; i++) {
                plan.step();
            }
            assertTrue(plan.loss() < 0.8 * first, "loss " + first + " -> " + plan.loss());
            assertArrayEquals(weight, parameters.read("fc1.weight"));
            assertArrayEquals(bias, parameters.read("fc1.bias"));
            assertFalse(Arrays.equals(head, parameters.read("fc2.weight")));
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void gradientsAndLossEqualTheFormulas(String column) {
        Graph graph = Mlp.graph();
        try (Device device = Device.open(column, 2, 1); Parameters parameters = Mlp.parameters(device, graph)) {
            Plan plan = Mlp.plan(parameters, graph, Mlp.sgd(BATCH, Mlp.ALL).build());
            plan.gradients();
            MlpByHand hand = new MlpByHand(parameters, Mlp.x(BATCH), Mlp.labels(BATCH));
            assertEquals(hand.loss, plan.loss(), ROUNDING * hand.loss);
            assertEquals(hand.correct, plan.correct());
            for (String name : Mlp.ALL) {
                assertClose(name, hand.gradients.get(name), plan.gradient(name), ROUNDING);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void anEvaluationPlanSeesUpdates(String column) {
        Graph graph = Mlp.graph();
        try (Device device = Device.open(column, 2, 1); Parameters parameters = Mlp.parameters(device, graph)) {
            Plan evaluation = Plan.compile(Mlp.predictor(), parameters, PlanOptions.eval(BATCH).build());
            evaluation.input("x").write(Mlp.x(BATCH));
            evaluation.forward();
            float[] before = evaluation.read("logits");
            Plan plan = Mlp.plan(parameters, graph, Mlp.sgd(BATCH, Mlp.ALL).build());
            for (int i = 0; i < 5; i++) {
                plan.step();
            }
            evaluation = Plan.compile(Mlp.predictor(), parameters, PlanOptions.eval(BATCH).build());
            evaluation.input("x").write(Mlp.x(BATCH));
            evaluation.forward();
            float[] after = evaluation.read("logits");
            plan.forward();
            assertFalse(Arrays.equals(before, after));
            assertClose("logits", widen(plan.read("logits")), after, ROUNDING);
            plan.step();
            evaluation.forward();
            assertFalse(Arrays.equals(after, evaluation.read("logits")), "the plan reads an old copy of the weights");
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void microBatchesEqualOneBatch(String column) {
        Graph graph = Mlp.graph(0.5);
        int parts = 4;
        int rows = BATCH / parts;
        try (Device device = Device.open(column, 2, 1);
                Parameters whole = Mlp.parameters(device, graph);
                Parameters pieces = Mlp.parameters(device, graph)) {
            Plan one = Mlp.plan(whole, graph, Mlp.sgd(BATCH, Mlp.ALL).build());
            one.seed(7);
            Plan many = Plan.compile(graph, pieces, Mlp.sgd(rows, Mlp.ALL).accumulate(true).build());
            many.rate(0, 0.1);
            many.seed(7);
            many.normalizer(BATCH);
            for (int step = 0; step < 3; step++) {
                one.visit(step);
                one.step();
                many.visit(step);
                for (int p = 0; p < parts; p++) {
                    long[] ids = new long[rows];
                    for (int i = 0; i < rows; i++) {
                        ids[i] = (long) p * rows + i;
                    }
                    many.rows(rows, null, ids);
                    many.input("x").write(Arrays.copyOfRange(Mlp.x(BATCH), p * rows * Mlp.IN, (p + 1) * rows * Mlp.IN));
                    many.input("label").write(Arrays.copyOfRange(Mlp.labels(BATCH), p * rows, (p + 1) * rows));
                    many.gradients();
                }
                many.update();
            }
            for (String name : Mlp.ALL) {
                assertClose(name, widen(whole.read(name)), pieces.read(name), ROUNDING);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void paddingRowsCountNothing(String column) {
        Graph graph = Mlp.graph();
        try (Device device = Device.open(column, 2, 1); Parameters parameters = Mlp.parameters(device, graph)) {
            Plan padded = Mlp.plan(parameters, graph, Mlp.sgd(BATCH, Mlp.ALL).build());
            padded.rows(5);
            padded.gradients();
            MlpByHand hand = new MlpByHand(parameters, Mlp.x(5), Mlp.labels(5));
            assertEquals(hand.loss, padded.loss(), ROUNDING * hand.loss);
            assertEquals(hand.correct, padded.correct());
            assertClose("fc1.weight", hand.gradients.get("fc1.weight"), padded.gradient("fc1.weight"), ROUNDING);
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void sameSeedSameBits(String column) {
        float[] first = train(column, 3, 1);
        assertArrayEquals(first, train(column, 3, 1));
        assertArrayEquals(first, train(column, 3, 2), "the number of lanes changes the bits");
        assertFalse(Arrays.equals(first, train(column, 4, 1)), "the seed of dropout has no effect");
    }

    private static float[] train(String column, long seed, int lanes) {
        Graph graph = Mlp.graph(0.5);
        try (Device device = Device.open(column, 2, lanes); Parameters parameters = Mlp.parameters(device, graph)) {
            Plan plan = Mlp.plan(parameters, graph, Mlp.sgd(BATCH, Mlp.ALL).build());
            plan.seed(seed);
            for (int i = 0; i < 10; i++) {
                plan.visit(i);
                plan.step();
            }
            return parameters.read("fc1.weight");
        }
    }

    @ParameterizedTest
    @MethodSource("dev.graft.engine.Columns#all")
    void ratesOfGroupsAreSetPerStep(String column) {
        Graph graph = Mlp.graph();
        try (Device device = Device.open(column, 2, 1); Parameters parameters = Mlp.parameters(device, graph)) {
            PlanOptions options = PlanOptions.train(BATCH, new Optimizer.Sgd(0, false)).train("fc1.weight", 0)
                    .train("fc2.weight", 1).build();
            Plan plan = Mlp.plan(parameters, graph, options);
            float[] fc1 = parameters.read("fc1.weight");
            float[] fc2 = parameters.read("fc2.weight");
            plan.rate(0, 0);
            plan.rate(1, 0.25);
            plan.step();
            assertArrayEquals(fc1, parameters.read("fc1.weight"));
            float[] gradient = plan.gradient("fc2.weight");
            double[] expected = widen(fc2);
            for (int i = 0; i < expected.length; i++) {
                expected[i] -= 0.25 * gradient[i];
            }
            assertClose("fc2.weight", expected, parameters.read("fc2.weight"), ROUNDING);
            assertThrows(IllegalArgumentException.class, () -> plan.rate(2, 0.1));
        }
    }

    static double[] widen(float[] values) {
        double[] wide = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            wide[i] = values[i];
        }
        return wide;
    }

    /** Largest difference at most {@code tolerance} times the largest expected magnitude. */
    static void assertClose(String what, double[] expected, float[] actual, double tolerance) {
        assertEquals(expected.length, actual.length, what);
        double largest = Arrays.stream(expected).map(Math::abs).max().orElse(0);
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], actual[i], tolerance * largest, what + "[" + i + "], seed " + Mlp.SEED);
        }
    }
}
