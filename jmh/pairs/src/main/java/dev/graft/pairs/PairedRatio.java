package dev.graft.pairs;

import java.util.Arrays;

/**
 * The median of paired ratios with an interval that assumes nothing about their distribution: two order statistics,
 * chosen so that they enclose the true median with at least 95 % probability (the sign test turned round; W. J. Conover,
 * Practical Nonparametric Statistics, 3rd edition, section 3.2).
 *
 * @param median the median ratio
 * @param low lower end of the interval
 * @param high upper end of the interval
 * @param coverage probability that the interval holds the true median: at least 0.95 from six pairs on; below that the
 *     interval is the whole range and its coverage is smaller
 * @param pairs number of ratios
 */
public record PairedRatio(double median, double low, double high, double coverage, int pairs) {
    private static final double WANTED = 0.95;

    /**
     * @param ratios one ratio per pair, in any order
     * @throws IllegalArgumentException if there is none
     */
    public static PairedRatio of(double... ratios) {
        if (ratios.length == 0) {
            throw new IllegalArgumentException("a paired ratio needs at least one pair, got none");
        }
        double[] sorted = ratios.clone();
        Arrays.sort(sorted);
        int n = sorted.length;
        int cut = 0;
        while (2 * (cut + 1) < n && coverage(n, cut + 1) >= WANTED) {
            cut++;
        }
        return new PairedRatio(median(sorted), sorted[cut], sorted[n - 1 - cut], coverage(n, cut), n);
    }

    /** Probability that the median lies between the order statistics left when {@code cut} are dropped at each end. */
    private static double coverage(int n, int cut) {
        double term = Math.pow(0.5, n);
        double tail = 0;
        for (int i = 0; i <= cut; i++) {
            tail += term;
            term *= (double) (n - i) / (i + 1);
        }
        return 1 - 2 * tail;
    }

    static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int n = sorted.length;
        return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    }
}
