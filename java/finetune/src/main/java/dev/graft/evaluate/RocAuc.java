package dev.graft.evaluate;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * Area under the receiver operating characteristic, one class versus the rest.
 *
 * @param classes one area per class, {@code null} where all samples or none are of that class
 * @param macro mean over the classes, {@code null} if one of them is undefined
 * @param weighted mean over the classes that have samples, weighted by their number; {@code null} if one of those is
 *     undefined
 */
public record RocAuc(List<Double> classes, Double macro, Double weighted) {

    /** Keeps an unmodifiable view of a copy; {@code List.copyOf} would refuse the undefined areas. */
    public RocAuc {
        classes = Collections.unmodifiableList(Arrays.asList(classes.toArray(Double[]::new)));
    }

    /** The areas of every class of the predictions, by probability. */
    public static RocAuc of(Predictions predictions) {
        int n = predictions.samples();
        int k = predictions.classes();
        double[][] columns = new double[k][n];
        for (int row = 0; row < n; row++) {
            double[] p = predictions.probabilities(row);
            for (int c = 0; c < k; c++) {
                columns[c][row] = p[c];
            }
        }
        Double[] areas = new Double[k];
        double sum = 0;
        double weighted = 0;
        boolean all = true;
        boolean supported = true;
        for (int c = 0; c < k; c++) {
            boolean[] positive = new boolean[n];
            int support = 0;
            for (int row = 0; row < n; row++) {
                positive[row] = predictions.label(row) == c;
                support += positive[row] ? 1 : 0;
            }
            areas[c] = binary(columns[c], positive);
            if (areas[c] != null) {
                sum += areas[c];
                weighted += areas[c] * support;
            } else {
                all = false;
                supported &= support == 0;
            }
        }
        return new RocAuc(Arrays.asList(areas), all ? sum / k : null, supported ? weighted / n : null);
    }

    /**
     * Probability that a random positive sample scores higher than a random negative one, ties counting half
     * (the Mann-Whitney statistic, which equals the area by trapezoids; Fawcett 2006, "An introduction to ROC analysis").
     *
     * @param scores [samples], higher for positive
     * @param positive [samples]
     * @return 0 to 1, or {@code null} if there are no positive or no negative samples
     * @throws IllegalArgumentException if the lengths differ or a score is NaN
     */
    public static Double binary(double[] scores, boolean[] positive) {
        int n = scores.length;
        if (positive.length != n) {
            throw new IllegalArgumentException("there are " + n + " scores, but " + positive.length + " labels");
        }
        Integer[] order = new Integer[n];
        for (int row = 0; row < n; row++) {
            if (Double.isNaN(scores[row])) {
                throw new IllegalArgumentException("row " + row + ": the score is NaN, expected a number");
            }
            order[row] = row;
        }
        // `+ 0.0` makes -0.0 and 0.0 the tie that they are
        Arrays.sort(order, (a, b) -> Double.compare(scores[a] + 0.0, scores[b] + 0.0));
        long negatives = 0;
        long positives = 0;
        long twiceWins = 0;
        for (int start = 0; start < n; ) {
            int tiedPositives = 0;
            int end = start;
            while (end < n && scores[order[end]] == scores[order[start]]) {
                tiedPositives += positive[order[end++]] ? 1 : 0;
            }
            int tiedNegatives = end - start - tiedPositives;
            twiceWins += tiedPositives * (2 * negatives + tiedNegatives);
            positives += tiedPositives;
            negatives += tiedNegatives;
            start = end;
        }
        return positives == 0 || negatives == 0 ? null : twiceWins / 2.0 / positives / negatives;
    }
}
