package dev.graft.evaluate;

import java.util.Arrays;
import java.util.function.IntToDoubleFunction;

/**
 * Counts [true class][predicted class] and what follows from them. Immutable and thread-safe.
 *
 * <p>A ratio whose denominator is zero is 0 (scikit-learn's zero_division=0). The macro average is the mean over the
 * classes that occur as a label or as a prediction; a class that occurs in neither counts for nothing. In
 * single-label classification the micro averages of precision, recall and F1 all equal the accuracy.
 */
public final class ConfusionMatrix {
    private final long[][] counts;
    private final long[] truths;
    private final long[] predictions;
    private final long samples;
    private final long correct;

    /**
     * @param counts square, [true class][predicted class], copied
     * @throws IllegalArgumentException if the matrix is not square, a count is negative or all are zero
     */
    public ConfusionMatrix(long[][] counts) {
        int k = counts.length;
        this.counts = new long[k][];
        this.truths = new long[k];
        this.predictions = new long[k];
        long diagonal = 0;
        for (int truth = 0; truth < k; truth++) {
            if (counts[truth].length != k) {
                throw new IllegalArgumentException("confusion matrix: row " + truth + " has " + counts[truth].length
                        + " counts, expected " + k);
            }
            this.counts[truth] = counts[truth].clone();
            for (int predicted = 0; predicted < k; predicted++) {
                long n = this.counts[truth][predicted];
                if (n < 0) {
                    throw new IllegalArgumentException(
                            "confusion matrix: count [" + truth + "][" + predicted + "] is " + n);
                }
                truths[truth] += n;
                predictions[predicted] += n;
            }
            diagonal += this.counts[truth][truth];
        }
        this.samples = Arrays.stream(truths).sum();
        this.correct = diagonal;
        if (samples == 0) {
            throw new IllegalArgumentException("confusion matrix: no samples");
        }
    }

    /** Number of classes. */
    public int classes() {
        return counts.length;
    }

    /** Samples of the true class that were given the predicted class. */
    public long count(int truth, int predicted) {
        return counts[truth][predicted];
    }

    /** A copy of the counts, [true class][predicted class]. */
    public long[][] counts() {
        return Arrays.stream(counts).map(long[]::clone).toArray(long[][]::new);
    }

    /** All samples. */
    public long samples() {
        return samples;
    }

    /** Samples on the diagonal. */
    public long correct() {
        return correct;
    }

    /** Share of samples on the diagonal, 0 to 1. */
    public double accuracy() {
        return (double) correct / samples;
    }

    /** Samples whose true class is c. */
    public long support(int c) {
        return truths[c];
    }

    /** Of the samples predicted as c, the share that is c. */
    public double precision(int c) {
        return ratio(counts[c][c], predictions[c]);
    }

    /** Of the samples that are c, the share predicted as c. */
    public double recall(int c) {
        return ratio(counts[c][c], truths[c]);
    }

    /** Harmonic mean of precision and recall of c. */
    public double f1(int c) {
        return ratio(2 * counts[c][c], truths[c] + predictions[c]);
    }

    /** Averages of precision over the classes. */
    public Averages precision() {
        return averages(this::precision);
    }

    /** Averages of recall over the classes. */
    public Averages recall() {
        return averages(this::recall);
    }

    /** Averages of F1 over the classes. */
    public Averages f1() {
        return averages(this::f1);
    }

    private Averages averages(IntToDoubleFunction metric) {
        double sum = 0;
        double weighted = 0;
        int present = 0;
        for (int c = 0; c < counts.length; c++) {
            if (truths[c] + predictions[c] > 0) {
                double value = metric.applyAsDouble(c);
                sum += value;
                weighted += value * truths[c];
                present++;
            }
        }
        return new Averages(sum / present, accuracy(), weighted / samples);
    }

    private static double ratio(long part, long whole) {
        return whole == 0 ? 0 : (double) part / whole;
    }
}
