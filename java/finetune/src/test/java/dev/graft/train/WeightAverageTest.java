package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The moving average of the weights: what is validated and left behind is the average, what trains is not. */
class WeightAverageTest {
    @TempDir
    Path folder;
    private TinyTask task;

    @BeforeEach
    void open() throws IOException {
        task = new TinyTask(folder, 0);
    }

    @AfterEach
    void close() {
        task.close();
    }

    private static TinyOptions options(double average) {
        TinyOptions options = new TinyOptions();
        options.epochs = 2;
        options.average = average;
        return options;
    }

    @Test
    void theResultIsTheAverageOfTheWeightsAfterEachUpdate() {
        double keep = 0.75;
        List<float[]> path = new ArrayList<>();
        task.start();
        double[] expected = widen(task.parameters.read("conv2.weight"));
        TrainObserver watching = new TrainObserver() {
            @Override
            public void step(int epoch, int step, int steps, double loss, double rate) {
                path.add(task.parameters.read("conv2.weight"));
            }
        };
        List<EpochRecord> plain = task.train("full", options(0), "none", watching, () -> false);
        for (float[] weights : path) {
            for (int i = 0; i < expected.length; i++) {
                expected[i] = keep * expected[i] + (1 - keep) * weights[i];
            }
        }
        List<EpochRecord> averaged = task.train("full", options(keep));
        double[] left = widen(task.parameters.read("conv2.weight"));
        assertArrayEquals(expected, left, 1e-6);
        for (int epoch = 0; epoch < plain.size(); epoch++) {
            assertEquals(plain.get(epoch).loss(), averaged.get(epoch).loss(), "the average took part in training");
        }
        assertFalse(plain.get(1).valLoss().equals(averaged.get(1).valLoss()), "the weights were validated");
    }

    private static double[] widen(float[] values) {
        double[] wide = new double[values.length];
        Arrays.setAll(wide, i -> values[i]);
        return wide;
    }
}
