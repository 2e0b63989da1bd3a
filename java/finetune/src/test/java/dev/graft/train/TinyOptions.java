package dev.graft.train;

import dev.graft.engine.Optimizer;
import dev.graft.engine.Precision;
import dev.graft.tune.BatchNormPolicy;
import dev.graft.tune.RateRule;

/** Options of a run on the tiny task: SGD with momentum, 3 epochs of 3 batches, the last of them partial. */
final class TinyOptions {
    int epochs = 3;
    int batch = 8;
    double rate = 0.05;
    Optimizer optimizer = new Optimizer.Sgd(0.9, false);
    double weightDecay = 1e-3;
    int warmup;
    double labelSmoothing;
    double l2sp;
    BatchNormPolicy norms = BatchNormPolicy.AUTO;
    int patience;
    int accumulate = 1;
    double clip;
    double average;
    boolean cache = true;
    long seed = 3;

    TrainOptions build() {
        return new TrainOptions(epochs, batch, rate, optimizer, weightDecay, Schedule.COSINE, warmup, labelSmoothing, l2sp, Double.NaN, 0,
                RateRule.EVEN, norms, patience, accumulate, clip, average, Precision.F32, cache, seed);
    }
}
