package dev.graft.evaluate;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Scores [samples][classes] of a classifier with the true label of every row.
 *
 * <p>The scores are either logits, whose probabilities are the row's softmax in double precision, or probabilities.
 * Equal scores are ranked by class index, the lowest first, so the top-1 class is the first maximum of the row.
 * Immutable and thread-safe.
 */
public final class Predictions {
    /** Least probability in the loss of rows given as probabilities: the double epsilon, as in scikit-learn's log_loss. */
    private static final double LEAST_PROBABILITY = Math.ulp(1.0);
    /** How far a row of probabilities may be from 1: a float32 softmax over 100,000 classes stays inside. */
    private static final double SUM_TOLERANCE = 1e-4;

    private final int classes;
    private final boolean logits;
    private final float[][] scores;
    private final int[] labels;

    private Predictions(int classes, boolean logits, float[][] scores, int[] labels) {
        this.classes = classes;
        this.logits = logits;
        this.scores = scores;
        this.labels = labels;
    }

    /**
     * Predictions from logits [samples][classes]. The arrays are copied.
     *
     * @throws IllegalArgumentException if a row has another length than the first, a logit is not finite, there are
     *     fewer than two classes, or a label lies outside [0, classes); the message names the row
     */
    public static Predictions ofLogits(float[][] logits, int[] labels) {
        return of(logits, labels, true);
    }

    /**
     * Predictions from probabilities [samples][classes]. The arrays are copied.
     *
     * @throws IllegalArgumentException as {@link #ofLogits}, and if a probability lies outside [0, 1] or a row does
     *     not sum to 1 within 1e-4
     */
    public static Predictions ofProbabilities(float[][] probabilities, int[] labels) {
        return of(probabilities, labels, false);
    }

    /** Collects the logits of batch after batch. */
    public static Collector collector(int classes) {
        return new Collector(classes);
    }

    private static Predictions of(float[][] scores, int[] labels, boolean logits) {
        if (scores.length == 0) {
            throw new IllegalArgumentException("scores have no rows: at least one sample is needed");
        }
        if (scores.length != labels.length) {
            throw new IllegalArgumentException(
                    "scores have " + scores.length + " rows, but there are " + labels.length + " labels");
        }
        int classes = checkClasses(scores[0].length);
        float[][] rows = new float[scores.length][];
        for (int row = 0; row < rows.length; row++) {
            if (scores[row].length != classes) {
                throw new IllegalArgumentException(
                        "row " + row + " has " + scores[row].length + " scores, expected " + classes);
            }
            rows[row] = scores[row].clone();
            checkRow(row, rows[row], labels[row]);
            if (!logits) {
                checkProbabilities(row, rows[row]);
            }
        }
        return new Predictions(classes, logits, rows, labels.clone());
    }

    private static int checkClasses(int classes) {
        if (classes < 2) {
            throw new IllegalArgumentException("a classifier has at least 2 classes, not " + classes);
        }
        return classes;
    }

    private static void checkRow(int row, float[] scores, int label) {
        for (int c = 0; c < scores.length; c++) {
            if (!Float.isFinite(scores[c])) {
                throw new IllegalArgumentException(
                        "row " + row + ": the score of class " + c + " is " + scores[c] + ", expected a finite number");
            }
        }
        if (label < 0 || label >= scores.length) {
            throw new IllegalArgumentException(
                    "row " + row + ": label " + label + " is not one of the classes 0 to " + (scores.length - 1));
        }
    }

    private static void checkProbabilities(int row, float[] probabilities) {
        double sum = 0;
        for (int c = 0; c < probabilities.length; c++) {
            float p = probabilities[c];
            if (p < 0 || p > 1) {
                throw new IllegalArgumentException(
                        "row " + row + ": the probability of class " + c + " is " + p + ", expected 0 to 1");
            }
            sum += p;
        }
        if (Math.abs(sum - 1) > SUM_TOLERANCE) {
            throw new IllegalArgumentException("row " + row + ": probabilities sum to " + sum + ", expected 1");
        }
    }

    /** Number of rows. */
    public int samples() {
        return scores.length;
    }

    /** Number of columns. */
    public int classes() {
        return classes;
    }

    /** True class of a row. */
    public int label(int row) {
        return labels[row];
    }

    /** Class of the largest score of a row, the first of equals. */
    public int predicted(int row) {
        float[] s = scores[row];
        int best = 0;
        for (int c = 1; c < classes; c++) {
            if (s[c] > s[best]) {
                best = c;
            }
        }
        return best;
    }

    /** Probabilities [classes] of a row. */
    public double[] probabilities(int row) {
        double[] p = new double[classes];
        double most = logits ? scores[row][predicted(row)] : 0;
        double sum = 0;
        for (int c = 0; c < classes; c++) {
            p[c] = logits ? Math.exp(scores[row][c] - most) : scores[row][c];
            sum += p[c];
        }
        if (logits) {
            for (int c = 0; c < classes; c++) {
                p[c] /= sum;
            }
        }
        return p;
    }

    /** Share of rows (0 to 1) whose label is among the k largest scores. */
    public double topAccuracy(int k) {
        if (k < 1 || k > classes) {
            throw new IllegalArgumentException("top-" + k + " accuracy of " + classes + " classes: k must be 1 to " + classes);
        }
        long hits = 0;
        for (int row = 0; row < scores.length; row++) {
            if (rank(row) < k) {
                hits++;
            }
        }
        return (double) hits / scores.length;
    }

    /** Number of classes ranked before the label of the row. */
    private int rank(int row) {
        float[] s = scores[row];
        int label = labels[row];
        int before = 0;
        for (int c = 0; c < classes; c++) {
            if (s[c] > s[label] || (s[c] == s[label] && c < label)) {
                before++;
            }
        }
        return before;
    }

    /** Mean cross-entropy in nats. */
    public double loss() {
        double sum = 0;
        for (int row = 0; row < scores.length; row++) {
            sum += logits ? logitLoss(row) : probabilityLoss(row);
        }
        return sum / scores.length;
    }

    /** log(sum of exp) - logit of the label, shifted by the largest logit so that nothing overflows. */
    private double logitLoss(int row) {
        float[] s = scores[row];
        double most = s[predicted(row)];
        double sum = 0;
        for (int c = 0; c < classes; c++) {
            sum += Math.exp(s[c] - most);
        }
        return Math.log(sum) + most - s[labels[row]];
    }

    private double probabilityLoss(int row) {
        double p = scores[row][labels[row]];
        return -Math.log(Math.min(1 - LEAST_PROBABILITY, Math.max(LEAST_PROBABILITY, p)));
    }

    /** Counts of (true class, predicted class). */
    public ConfusionMatrix confusion() {
        long[][] counts = new long[classes][classes];
        for (int row = 0; row < scores.length; row++) {
            counts[labels[row]][predicted(row)]++;
        }
        return new ConfusionMatrix(counts);
    }

    /** Gathers the logits of one batch after another. Not thread-safe. */
    public static final class Collector {
        private final int classes;
        private final List<float[]> rows = new ArrayList<>();
        private int[] labels = new int[64];

        private Collector(int classes) {
            this.classes = checkClasses(classes);
        }

        /**
         * Adds the first {@code rows} rows of a batch; later rows (padding of the last batch) are not read.
         *
         * @param logits row-major [at least rows][classes], copied
         * @param labels [at least rows], copied
         * @throws IllegalArgumentException as {@link Predictions#ofLogits}; rows are counted over all batches
         */
        public Collector add(float[] logits, int[] labels, int rows) {
            if (rows < 0 || (long) rows * classes > logits.length || rows > labels.length) {
                throw new IllegalArgumentException("a batch of " + rows + " rows of " + classes + " classes needs "
                        + (long) rows * classes + " logits and " + rows + " labels, got " + logits.length + " and "
                        + labels.length);
            }
            for (int r = 0; r < rows; r++) {
                float[] row = Arrays.copyOfRange(logits, r * classes, (r + 1) * classes);
                int n = this.rows.size();
                checkRow(n, row, labels[r]);
                if (n == this.labels.length) {
                    this.labels = Arrays.copyOf(this.labels, 2 * n);
                }
                this.labels[n] = labels[r];
                this.rows.add(row);
            }
            return this;
        }

        /** The rows added so far. @throws IllegalArgumentException if there are none */
        public Predictions predictions() {
            if (rows.isEmpty()) {
                throw new IllegalArgumentException("scores have no rows: at least one sample is needed");
            }
            return new Predictions(classes, true, rows.toArray(float[][]::new), Arrays.copyOf(labels, rows.size()));
        }
    }
}
