package dev.graft.report;

import java.util.Collections;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * One figure followed over epochs, for every strategy and seed: a chart with its table.
 *
 * @param title heading
 * @param measure what is plotted, the label of the vertical axis
 * @param percent whether values are shares of 1, shown in per cent
 * @param curves at least one; those of one strategy share a colour and have a mean
 */
public record LearningCurves(String title, String measure, boolean percent, List<Curve> curves) implements Section {
    /** Keeps an unmodifiable copy. */
    public LearningCurves {
        curves = List.copyOf(curves);
        if (curves.isEmpty()) {
            throw new IllegalArgumentException("learning curves '" + title + "' have no curves");
        }
    }

    /**
     * The values of one run.
     *
     * @param strategy name of the strategy
     * @param seed seed of the run
     * @param values epoch to value, at least one; 0 stands for the state before training. A value that is not finite
     *     (a diverged loss) is a gap in the chart and is written out in the table
     */
    public record Curve(String strategy, long seed, SortedMap<Integer, Double> values) {
        /** Keeps an unmodifiable copy. */
        public Curve {
            if (values.isEmpty()) {
                throw new IllegalArgumentException("the curve of strategy '" + strategy + "', seed " + seed + " is empty");
            }
            values = Collections.unmodifiableSortedMap(new TreeMap<>(values));
        }
    }
}
