package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/** Every option that is out of its range is refused by its name on the command line. */
class TrainOptionsTest {
    @Test
    void rangesAreChecked() {
        refused(o -> o.epochs = 0, "epochs is 0, expected at least 1");
        refused(o -> o.batch = 0, "batch is 0, expected at least 1");
        refused(o -> o.warmup = -1, "warmup is -1, expected at least 0");
        refused(o -> o.patience = -1, "patience is -1, expected at least 0");
        refused(o -> o.accumulate = 0, "accumulate is 0, expected at least 1");
        refused(o -> o.rate = 0, "lr is 0.0, expected above 0");
        refused(o -> o.rate = Double.NaN, "lr is NaN, expected above 0");
        refused(o -> o.weightDecay = -1, "weight-decay is -1.0, expected 0.0 to 1000000.0");
        refused(o -> o.l2sp = Double.NaN, "l2sp is NaN, expected 0.0 to 1000000.0");
        refused(o -> o.clip = -0.5, "clip is -0.5, expected 0.0 to " + Double.MAX_VALUE);
        refused(o -> o.labelSmoothing = 1, "label-smoothing is 1.0, expected 0.0 to " + Math.nextDown(1.0));
        refused(o -> o.seed = -1, "seed is -1, expected 0 to 2^53");
        refused(o -> o.seed = (1L << 53) + 1, "seed is 9007199254740993, expected 0 to 2^53");
    }

    private static void refused(Consumer<TinyOptions> change, String message) {
        TinyOptions options = new TinyOptions();
        change.accept(options);
        assertEquals(message, assertThrows(IllegalArgumentException.class, options::build).getMessage());
    }
}
