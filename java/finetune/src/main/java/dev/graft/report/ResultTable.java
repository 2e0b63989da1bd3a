package dev.graft.report;

import java.util.List;

/**
 * One row per fine-tuning strategy: what it trained, how well it did over its seeds, and what it cost.
 *
 * @param title heading
 * @param rows at least one, in the order to be shown
 */
public record ResultTable(String title, List<Row> rows) implements Section {
    /** Keeps an unmodifiable copy. */
    public ResultTable {
        rows = List.copyOf(rows);
        if (rows.isEmpty()) {
            throw new IllegalArgumentException("result table '" + title + "' has no rows");
        }
    }

    /**
     * The result of one strategy.
     *
     * @param strategy its name
     * @param trainable trainable parameters (numbers, not tensors)
     * @param parameters all parameters
     * @param accuracies one per seed, 0 to 1
     * @param seconds mean wall time of one run
     * @param peakBytes peak memory of a run, {@code null} where it was not measured
     */
    public record Row(
            String strategy, long trainable, long parameters, List<Double> accuracies, double seconds, Long peakBytes) {
        /** Keeps an unmodifiable copy and checks the range of the figures. */
        public Row {
            accuracies = List.copyOf(accuracies);
            if (accuracies.isEmpty()) {
                throw new IllegalArgumentException("strategy '" + strategy + "' has no accuracies");
            }
            for (double accuracy : accuracies) {
                if (!(accuracy >= 0 && accuracy <= 1)) {
                    throw new IllegalArgumentException(
                            "strategy '" + strategy + "': accuracy " + accuracy + " is not between 0 and 1");
                }
            }
            if (trainable < 0 || trainable > parameters) {
                throw new IllegalArgumentException("strategy '" + strategy + "': " + trainable
                        + " trainable parameters of " + parameters);
            }
        }
    }
}
