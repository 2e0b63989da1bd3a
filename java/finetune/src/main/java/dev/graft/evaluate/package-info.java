/**
 * Measuring classifiers: metrics as pure functions over scores and labels, and the spread of a result over seeds.
 *
 * <p>Conventions are those of scikit-learn 1.7 (zero_division=0), whose values are the golden data of the tests.
 * Where scikit-learn answers NaN with a warning, these functions answer {@code null}: JSON has no NaN.
 */
package dev.graft.evaluate;
