package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.tune.Stage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Training on pictures that lie in the plan as bytes, against training on those that each batch brings. */
class ResidentPicturesTest {
    // A level is normalised as scale * level + offset instead of by difference and division: one or two roundings of F32, which
    // eighteen updates carry on.
    private static final double ROUNDING = 1e-4;

    @TempDir
    Path folder;
    private TinyTask task;
    private final List<String> warnings = new ArrayList<>();
    private final List<String> memory = new ArrayList<>();
    private final TrainObserver observer = new TrainObserver() {
        @Override
        public void warning(String text) {
            warnings.add(text);
        }

        @Override
        public void stage(Stage stage, String bytes) {
            memory.add(bytes);
        }
    };

    @BeforeEach
    void open() throws IOException {
        task = new TinyTask(folder, 0.3);
    }

    @AfterEach
    void close() {
        System.clearProperty("graft.pictures");
        task.close();
    }

    private List<EpochRecord> train(String where, String augmentation) {
        System.setProperty("graft.pictures", where);
        TinyOptions options = new TinyOptions();
        options.epochs = 3;
        options.batch = 4;
        return task.train("full", options, augmentation, observer, () -> false);
    }

    @ParameterizedTest
    @ValueSource(strings = {"none", "flip", "crop", "crop+flip"})
    void lossesAndWeightsAreThoseOfTheHost(String augmentation) {
        List<EpochRecord> expected = train("host", augmentation);
        Map<String, float[]> weights = task.values();
        memory.clear();
        List<EpochRecord> actual = train("device", augmentation);
        assertTrue(memory.get(0).contains("resident_inputs"), memory.get(0));
        for (int epoch = 0; epoch < expected.size(); epoch++) {
            assertEquals(expected.get(epoch).loss(), actual.get(epoch).loss(), ROUNDING, "loss of epoch " + epoch);
            assertEquals(expected.get(epoch).valLoss(), actual.get(epoch).valLoss(), ROUNDING, "validation loss of epoch " + epoch);
        }
        task.values().forEach((name, values) -> assertArrayEquals(weights.get(name), values, (float) (10 * ROUNDING), name));
    }

    @Test
    void aRandomResizedCropStaysOnTheHostAndSaysSo() {
        train("device", "resized-crop");
        assertEquals(1, warnings.stream().filter(w -> w.contains("a random resized crop resizes each picture anew")).count(), warnings.toString());
        assertTrue(!memory.get(0).contains("resident_inputs"), memory.get(0));
    }
}
