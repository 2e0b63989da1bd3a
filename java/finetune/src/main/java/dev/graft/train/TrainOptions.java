package dev.graft.train;

import dev.graft.engine.Optimizer;
import dev.graft.engine.Precision;
import dev.graft.tune.BatchNormPolicy;
import dev.graft.tune.RateRule;

/**
 * How a run trains.
 *
 * @param epochs passes over the training pictures, at least 1
 * @param batch pictures a step
 * @param rate the rate that schedule and multipliers act on
 * @param optimizer rule and its constants
 * @param weightDecay decay of matrices and filters; biases and norms are not decayed
 * @param schedule of the rate
 * @param warmup updates of linear rise before the schedule
 * @param labelSmoothing share of the target that is spread over all classes, in [0, 1)
 * @param l2sp strength of the pull to the pretrained weights; 0 for none
 * @param dropout rate before the head; NaN for the model's own
 * @param dropPath largest rate of stochastic depth; 0 for none
 * @param rates differential rates
 * @param norms batch norm policy
 * @param patience epochs without a better validation score before the run stops; 0 trains to the end and keeps the last epoch
 * @param accumulate batches whose gradients make one update
 * @param clip largest global norm of the gradients; 0 for no clipping
 * @param average how much of a moving average of the weights stays at an update; the average is validated and saved. 0 keeps none
 * @param precision of the arithmetic
 * @param cache whether the outputs of a frozen prefix may be kept in memory between epochs
 * @param seed of fresh starts, order, augmentation, dropout and stochastic depth
 */
public record TrainOptions(int epochs, int batch, double rate, Optimizer optimizer, double weightDecay, Schedule schedule,
                           int warmup, double labelSmoothing, double l2sp, double dropout, double dropPath, RateRule rates, BatchNormPolicy norms,
                           int patience, int accumulate, double clip, double average, Precision precision, boolean cache, long seed) {
    private static final long LARGEST_SEED = 1L << 53;

    /** Checks every range; the message names the option. */
    public TrainOptions {
        atLeast("epochs", epochs, 1);
        atLeast("batch", batch, 1);
        atLeast("warmup", warmup, 0);
        atLeast("patience", patience, 0);
        atLeast("accumulate", accumulate, 1);
        within("lr", rate, Math.ulp(0.0), 1e6);
        within("weight-decay", weightDecay, 0, 1e6);
        within("label-smoothing", labelSmoothing, 0, Math.nextDown(1.0));
        within("l2sp", l2sp, 0, 1e6);
        within("clip", clip, 0, Double.MAX_VALUE);
        within("ema", average, 0, Math.nextDown(1.0));
        if (!Double.isNaN(dropout)) {
            within("dropout", dropout, 0, Math.nextDown(1.0));
        }
        within("drop-path", dropPath, 0, Math.nextDown(1.0));
        if (seed < 0 || seed > LARGEST_SEED) {
            throw new IllegalArgumentException("seed is " + seed + ", expected 0 to 2^53");
        }
    }

    private static void atLeast(String name, int value, int least) {
        if (value < least) {
            throw new IllegalArgumentException(name + " is " + value + ", expected at least " + least);
        }
    }

    private static void within(String name, double value, double least, double most) {
        if (!(value >= least && value <= most)) {
            throw new IllegalArgumentException(name + " is " + value + ", expected " + (least > 0 && least < 1e-300 ? "above 0" : least + " to " + most));
        }
    }
}
