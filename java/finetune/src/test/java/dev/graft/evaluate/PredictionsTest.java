package dev.graft.evaluate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class PredictionsTest {
    private static final float[][] TWO_ROWS = {{1, 2, 3}, {6, 5, 4}};

    @Test
    void badInputIsNamedWithItsRow() {
        refused("row 1: the score of class 2 is NaN, expected a finite number",
                () -> Predictions.ofLogits(new float[][] {{1, 2, 3}, {6, 5, Float.NaN}}, new int[] {0, 0}));
        refused("row 0: the score of class 0 is -Infinity, expected a finite number",
                () -> Predictions.ofLogits(new float[][] {{Float.NEGATIVE_INFINITY, 2}}, new int[] {0}));
        refused("row 1 has 2 scores, expected 3",
                () -> Predictions.ofLogits(new float[][] {{1, 2, 3}, {6, 5}}, new int[] {0, 0}));
        refused("row 1: label 3 is not one of the classes 0 to 2", () -> Predictions.ofLogits(TWO_ROWS, new int[] {0, 3}));
        refused("row 0: label -1 is not one of the classes 0 to 2", () -> Predictions.ofLogits(TWO_ROWS, new int[] {-1, 1}));
        refused("scores have 2 rows, but there are 3 labels", () -> Predictions.ofLogits(TWO_ROWS, new int[3]));
        refused("scores have no rows: at least one sample is needed", () -> Predictions.ofLogits(new float[0][], new int[0]));
        refused("a classifier has at least 2 classes, not 1", () -> Predictions.ofLogits(new float[1][1], new int[1]));
        refused("row 0: the probability of class 1 is 6.0, expected 0 to 1",
                () -> Predictions.ofProbabilities(new float[][] {{0, 6}}, new int[] {0}));
        refused("row 0: probabilities sum to 0.75, expected 1",
                () -> Predictions.ofProbabilities(new float[][] {{.5f, .25f}}, new int[] {0}));
        refused("top-4 accuracy of 3 classes: k must be 1 to 3",
                () -> Predictions.ofLogits(TWO_ROWS, new int[2]).topAccuracy(4));
        refused("scores have 3 classes, but there are 2 class names",
                () -> Evaluation.of(Predictions.ofLogits(TWO_ROWS, new int[2]), List.of("a", "b"), 0));
    }

    @Test
    void equalScoresRankTheFirstClassFirst() {
        Predictions ties = Predictions.ofLogits(new float[][] {{1, 2, 2}, {1, 2, 2}}, new int[] {1, 2});
        assertEquals(1, ties.predicted(0));
        assertEquals(ties.confusion().accuracy(), ties.topAccuracy(1));
        assertEquals(.5, ties.topAccuracy(1));
        assertEquals(1, ties.topAccuracy(2));
    }

    @Test
    void collectedBatchesEqualOneMatrixAndPaddingIsNotRead() {
        float nan = Float.NaN;
        var collector = Predictions.collector(3).add(new float[] {1, 2, 3}, new int[] {2}, 1);
        Predictions collected = collector.add(new float[] {6, 5, 4, nan, nan, nan}, new int[] {1, -9}, 1).predictions();
        Predictions whole = Predictions.ofLogits(TWO_ROWS, new int[] {2, 1});
        assertEquals(2, collected.samples());
        assertEquals(whole.loss(), collected.loss());
        assertArrayEquals(whole.confusion().counts(), collected.confusion().counts());
        refused("row 2: the score of class 1 is NaN, expected a finite number",
                () -> collector.add(new float[] {0, nan, 0}, new int[] {0}, 1));
        refused("a batch of 2 rows of 3 classes needs 6 logits and 2 labels, got 3 and 1",
                () -> collector.add(new float[3], new int[1], 2));
        refused("scores have no rows: at least one sample is needed", () -> Predictions.collector(3).predictions());
    }

    @Test
    void laterChangesOfTheCallersArraysDoNotMatter() {
        float[][] scores = {{0, 1}};
        int[] labels = {1};
        Predictions predictions = Predictions.ofLogits(scores, labels);
        scores[0][0] = 9;
        labels[0] = 0;
        assertEquals(1, predictions.predicted(0));
        assertEquals(1, predictions.label(0));
        predictions.confusion().counts()[1][1] = 7;
        assertEquals(1, predictions.confusion().count(1, 1));
    }

    @Test
    void jsonHasTheContractsKeysAndNullForTheUndefined() {
        Evaluation evaluation = Evaluation.of(Predictions.ofLogits(new float[][] {{0, 1}, {2, 1}}, new int[] {1, 1}),
                List.of("ants", "bees"), 1.5);
        var json = evaluation.toJson();
        assertEquals(.5, json.get("accuracy").doubleValue());
        assertEquals(2, json.get("samples").longValue());
        assertEquals(1, json.get("correct").longValue());
        assertEquals(evaluation.loss(), json.get("loss").doubleValue());
        assertEquals(1. / 3, json.at("/f1/macro").doubleValue(), 1e-15);
        assertEquals(1.5, json.get("seconds").doubleValue());
        assertTrue(json.at("/roc_auc/macro").isNull(), "one class in the truth has no area");
        assertTrue(json.get("top5").isNull(), "top-5 of two classes says nothing");
        assertEquals("bees", json.at("/classes/1/name").textValue());
    }

    @Test
    void areaOfTheBinaryCurveIsTheShareOfWonPairs() {
        assertEquals(1, RocAuc.binary(new double[] {.1, .9}, new boolean[] {false, true}));
        assertEquals(0, RocAuc.binary(new double[] {.9, .1}, new boolean[] {false, true}));
        assertEquals(.5, RocAuc.binary(new double[] {-0.0, 0.0}, new boolean[] {true, false}));
        assertNull(RocAuc.binary(new double[] {.1, .9}, new boolean[2]));
        assertNull(RocAuc.binary(new double[0], new boolean[0]));
        refused("row 1: the score is NaN, expected a number", () -> RocAuc.binary(new double[] {0, Double.NaN}, new boolean[2]));
        refused("there are 2 scores, but 3 labels", () -> RocAuc.binary(new double[2], new boolean[3]));
    }

    @Test
    void confusionMatrixRefusesWhatIsNone() {
        refused("confusion matrix: row 1 has 1 counts, expected 2", () -> new ConfusionMatrix(new long[][] {{1, 2}, {3}}));
        refused("confusion matrix: count [0][1] is -2", () -> new ConfusionMatrix(new long[][] {{1, -2}, {3, 4}}));
        refused("confusion matrix: no samples", () -> new ConfusionMatrix(new long[2][2]));
    }

    private static void refused(String message, Executable call) {
        assertEquals(message, assertThrows(IllegalArgumentException.class, call).getMessage());
    }
}
