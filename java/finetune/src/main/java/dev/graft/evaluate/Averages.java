package dev.graft.evaluate;

/**
 * A per-class metric averaged over classes.
 *
 * @param macro mean over the classes that occur
 * @param micro the metric of all decisions pooled
 * @param weighted mean weighted by the samples of each true class
 */
public record Averages(double macro, double micro, double weighted) {}
