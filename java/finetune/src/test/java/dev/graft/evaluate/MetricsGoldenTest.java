package dev.graft.evaluate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Every metric equals scikit-learn's on the cases that {@code fixtures/make_metric_fixtures.py} made. */
class MetricsGoldenTest {
    /** Both sides sum at most 1000 doubles of size about 1 (largest loss 400): rounding stays below 1e-12 relative. */
    private static final double TOLERANCE = 1e-9;

    private static final JsonNode GOLDEN = golden();

    private static JsonNode golden() {
        try (var in = MetricsGoldenTest.class.getResourceAsStream("metrics.json")) {
            return new ObjectMapper().readTree(in);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    @TestFactory
    Stream<DynamicTest> metricsEqualScikitLearn() {
        return StreamSupport.stream(GOLDEN.get("cases").spliterator(), false)
                .map(c -> dynamicTest(c.get("name").asText(), () -> check(c)));
    }

    @TestFactory
    Stream<DynamicTest> intervalsEqualScipy() {
        return StreamSupport.stream(GOLDEN.get("intervals").spliterator(), false)
                .map(c -> dynamicTest(c.get("values").size() + " values", () -> {
                    Interval interval = Interval.of(doubles(c.get("values")));
                    assertEquals(c.get("values").size(), interval.count());
                    same(c, "mean", interval.mean());
                    same(c, "deviation", interval.deviation());
                    same(c, "low", interval.low());
                    same(c, "high", interval.high());
                }));
    }

    private static void check(JsonNode c) {
        JsonNode expected = c.get("expected");
        float[][] scores = StreamSupport.stream(c.get("scores").spliterator(), false)
                .map(MetricsGoldenTest::floats).toArray(float[][]::new);
        int[] labels = IntStream.range(0, scores.length).map(i -> c.get("labels").get(i).intValue()).toArray();
        Predictions predictions = c.get("kind").asText().equals("logits")
                ? Predictions.ofLogits(scores, labels)
                : Predictions.ofProbabilities(scores, labels);
        int k = predictions.classes();
        List<String> names = IntStream.range(0, k).mapToObj(i -> "class " + i).toList();
        Evaluation evaluation = Evaluation.of(predictions, names, 0);

        same(expected, "accuracy", evaluation.accuracy());
        same(expected, "loss", evaluation.loss());
        for (int t = 1; t <= k; t++) {
            assertEquals(expected.get("top").get(t - 1).doubleValue(), predictions.topAccuracy(t), TOLERANCE, "top-" + t);
        }
        averages(expected, "precision", evaluation.precision());
        averages(expected, "recall", evaluation.recall());
        averages(expected, "f1", evaluation.f1());
        JsonNode table = expected.get("classes");
        for (int i = 0; i < k; i++) {
            ClassScores row = evaluation.classes().get(i);
            assertEquals(table.get("precision").get(i).doubleValue(), row.precision(), TOLERANCE, "precision of " + i);
            assertEquals(table.get("recall").get(i).doubleValue(), row.recall(), TOLERANCE, "recall of " + i);
            assertEquals(table.get("f1").get(i).doubleValue(), row.f1(), TOLERANCE, "F1 of " + i);
            assertEquals(table.get("support").get(i).longValue(), row.support(), "support of " + i);
            same("area of " + i, expected.get("roc_auc").get("classes").get(i), row.rocAuc());
            for (int j = 0; j < k; j++) {
                assertEquals(expected.get("confusion").get(i).get(j).longValue(), evaluation.confusion().count(i, j),
                        "confusion [" + i + "][" + j + "]");
            }
        }
        same(expected.get("roc_auc"), "macro", evaluation.rocAuc().macro());
        same(expected.get("roc_auc"), "weighted", evaluation.rocAuc().weighted());
    }

    private static void averages(JsonNode expected, String metric, Averages actual) {
        JsonNode node = expected.get(metric);
        same(metric + " macro", node.get("macro"), actual.macro());
        same(metric + " micro", node.get("micro"), actual.micro());
        same(metric + " weighted", node.get("weighted"), actual.weighted());
    }

    private static void same(JsonNode expected, String name, Double actual) {
        same(name, expected.get(name), actual);
    }

    private static void same(String name, JsonNode expected, Double actual) {
        if (expected.isNull()) {
            assertNull(actual, name);
        } else {
            assertNotNull(actual, name);
            assertEquals(expected.doubleValue(), actual, TOLERANCE, name);
        }
    }

    private static double[] doubles(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false).mapToDouble(JsonNode::doubleValue).toArray();
    }

    private static float[] floats(JsonNode array) {
        float[] values = new float[array.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = array.get(i).floatValue();
        }
        return values;
    }
}
