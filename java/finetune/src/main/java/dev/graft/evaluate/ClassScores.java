package dev.graft.evaluate;

/**
 * One class's row of the per-class table.
 *
 * @param name class name
 * @param precision of the samples predicted so, the share that is so
 * @param recall of the samples that are so, the share predicted so
 * @param f1 harmonic mean of the two
 * @param rocAuc area under the one-versus-rest curve, {@code null} where all or no samples are of this class
 * @param support samples of this true class
 */
public record ClassScores(String name, double precision, double recall, double f1, Double rocAuc, long support) {}
