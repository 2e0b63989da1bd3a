package dev.graft.evaluate;

import org.apache.commons.statistics.distribution.TDistribution;

/**
 * Mean of a figure over independent runs (seeds) with its 95 % confidence interval by Student's t.
 *
 * @param count number of runs
 * @param mean arithmetic mean
 * @param deviation sample standard deviation (divisor count - 1), {@code null} for one run
 * @param low lower end of the interval, {@code null} for one run
 * @param high upper end of the interval, {@code null} for one run
 */
public record Interval(int count, double mean, Double deviation, Double low, Double high) {

    /**
     * The interval of the values, in their unit.
     *
     * @throws IllegalArgumentException if there are no values or one is not finite
     */
    public static Interval of(double... values) {
        int n = values.length;
        if (n == 0) {
            throw new IllegalArgumentException("an interval needs at least one value");
        }
        double sum = 0;
        for (int i = 0; i < n; i++) {
            if (!Double.isFinite(values[i])) {
                throw new IllegalArgumentException("value " + i + " is " + values[i] + ", expected a finite number");
            }
            sum += values[i];
        }
        double mean = sum / n;
        if (n == 1) {
            return new Interval(1, mean, null, null, null);
        }
        double squares = 0;
        for (double value : values) {
            squares += (value - mean) * (value - mean);
        }
        double deviation = Math.sqrt(squares / (n - 1));
        // two-sided 95 %: 2.5 % on each side
        double half = TDistribution.of(n - 1).inverseSurvivalProbability(0.025) * deviation / Math.sqrt(n);
        return new Interval(n, mean, deviation, mean - half, mean + half);
    }
}
