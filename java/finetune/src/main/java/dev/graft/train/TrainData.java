package dev.graft.train;

import dev.graft.data.DecodedCache;
import dev.graft.data.Pipeline;
import dev.graft.data.Split;

/**
 * The pictures of a run and how they become pixels.
 *
 * @param train pictures to train on
 * @param val pictures to validate on after each epoch; null for none
 * @param training pipeline with augmentation
 * @param evaluation pipeline without
 * @param trainCache decoded pictures of {@code train}
 * @param valCache decoded pictures of {@code val}; null without one
 * @param threads that decode
 */
public record TrainData(Split train, Split val, Pipeline training, Pipeline evaluation, DecodedCache trainCache,
                        DecodedCache valCache, int threads) {
    /** Bytes of decoded pictures kept a split. */
    private static final long DECODED_LIMIT = 1L << 30;

    /** The splits with caches of their own. */
    public static TrainData of(Split train, Split val, Pipeline training, Pipeline evaluation, int threads) {
        return new TrainData(train, val, training, evaluation, new DecodedCache(DECODED_LIMIT),
                val == null ? null : new DecodedCache(DECODED_LIMIT), threads);
    }
}
