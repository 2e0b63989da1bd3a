package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.Optimizer;
import dev.graft.tune.BatchNormPolicy;
import dev.graft.tune.Stage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Laws of fine-tuning, on a network of two convolutions. */
class TrainerTest {
    /** Sums in another order: a few roundings of F32 in each of some updates. */
    private static final double ROUNDING = 1e-5;

    @TempDir
    Path folder;
    private TinyTask task;

    @BeforeEach
    void open() throws IOException {
        task = new TinyTask(folder, 0.3);
    }

    @AfterEach
    void close() {
        task.close();
    }

    @ParameterizedTest
    @ValueSource(strings = {"head", "partial:from=layer", "partial:train=bn2+fc", "gradual:every=1", "full",
        "lora:r=2,targets=conv2,dropout=0.2", "lora:r=2,train=bn2,every=1"})
    void frozenTensorsKeepTheirBitsAndTrainableOnesMove(String strategy) {
        TinyOptions options = new TinyOptions();
        options.epochs = 2;
        task.start(strategy);
        Map<String, float[]> before = task.values();
        List<EpochRecord> history = task.train(strategy, options);
        Set<String> live = new HashSet<>();
        history.forEach(r -> live.addAll(task.stages(strategy, options.build()).get(r.stage()).live()));
        assertTrue(live.contains("fc.weight"));
        task.values().forEach((name, after) ->
                assertEquals(!live.contains(name), Arrays.equals(before.get(name), after), name + " under " + strategy));
    }

    @ParameterizedTest
    @CsvSource({"FROZEN, false, false", "AUTO, false, true", "TRAIN, true, true"})
    void statisticsFollowTheBatchesWhereThePolicySaysSo(BatchNormPolicy policy, boolean first, boolean second) {
        TinyOptions options = new TinyOptions();
        options.norms = policy;
        task.start();
        Map<String, float[]> before = task.values();
        task.train("partial:from=layer", options);
        Map<String, float[]> after = task.values();
        for (String statistic : List.of("running_mean", "running_var")) {
            assertEquals(first, !Arrays.equals(before.get("bn1." + statistic), after.get("bn1." + statistic)), "bn1." + statistic);
            assertEquals(second, !Arrays.equals(before.get("bn2." + statistic), after.get("bn2." + statistic)), "bn2." + statistic);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"head", "partial:from=layer", "lora:r=2,targets=conv2"})
    void cachedFeaturesTrainTheSameWeights(String strategy) {
        TinyOptions options = new TinyOptions();
        List<Integer> passes = new ArrayList<>();
        TrainObserver counting = new TrainObserver() {
            @Override
            public void pass(String what, int done, int total) {
                if (what.equals("features")) {
                    passes.add(done);
                }
            }
        };
        List<EpochRecord> cached = task.train(strategy, options, "none", counting, () -> false);
        Map<String, float[]> expected = task.values();
        assertEquals(List.of(8, 16, TinyTask.TRAIN), passes, "pictures through the frozen prefix, all epochs together");
        passes.clear();
        options.cache = false;
        List<EpochRecord> plain = task.train(strategy, options, "none", counting, () -> false);
        assertEquals(List.of(), passes);
        assertClose(expected, task.values());
        for (int e = 0; e < options.epochs; e++) {
            assertEquals(cached.get(e).loss(), plain.get(e).loss(), ROUNDING * plain.get(e).loss());
            assertEquals(cached.get(e).valLoss(), plain.get(e).valLoss(), ROUNDING * plain.get(e).valLoss());
        }
    }

    @Test
    void frozenPrefixBesideAnAdapterOfTheFirstLayerIsNotCached() {
        TinyOptions options = new TinyOptions();
        task.train("lora:r=2", options);
        Map<String, float[]> expected = task.values();
        options.cache = false;
        task.train("lora:r=2", options);
        task.values().forEach((name, values) -> assertArrayEquals(expected.get(name), values, name));
    }

    @Test
    void randomPicturesAreNeverCached() {
        task.train("head", new TinyOptions(), "flip", new TrainObserver() {
            @Override
            public void pass(String what, int done, int total) {
                assertFalse(what.equals("features"), "features of pictures that change");
            }
        }, () -> false);
    }

    @ParameterizedTest
    @ValueSource(strings = {"full", "gradual:every=1", "head", "lora:r=2,dropout=0.2"})
    void sameSeedGivesTheSameBits(String strategy) {
        TinyOptions options = new TinyOptions();
        List<EpochRecord> first = task.train(strategy, options, "crop+flip", TrainObserver.SILENT, () -> false);
        Map<String, float[]> expected = task.values();
        List<EpochRecord> second = task.train(strategy, options, "crop+flip", TrainObserver.SILENT, () -> false);
        task.values().forEach((name, values) -> assertArrayEquals(expected.get(name), values, name));
        for (int e = 0; e < options.epochs; e++) {
            assertEquals(first.get(e).loss(), second.get(e).loss());
            assertEquals(first.get(e).valLoss(), second.get(e).valLoss());
        }
        options.seed++;
        task.train(strategy, options, "crop+flip", TrainObserver.SILENT, () -> false);
        assertFalse(Arrays.equals(expected.get("fc.weight"), task.values().get("fc.weight")), "another seed gives other weights");
    }

    @ParameterizedTest
    @CsvSource({"full, 0, true", "head, 0, true", "head, 0, false", "full, 0.5, true", "lora:r=2, 0, true"})
    void microBatchesMakeTheUpdatesOfOneBatch(String strategy, double clip, boolean cache) {
        TinyOptions options = new TinyOptions();
        options.norms = BatchNormPolicy.FROZEN;
        options.optimizer = new Optimizer.Sgd(0, false);
        options.clip = clip;
        options.cache = cache;
        List<EpochRecord> whole = task.train(strategy, options);
        Map<String, float[]> expected = task.values();
        // 22 pictures: updates of 8, 8 and 6 rows, in batches of 4, 4 | 4, 4 | 4, 2
        options.batch = 4;
        options.accumulate = 2;
        List<EpochRecord> parts = task.train(strategy, options);
        assertClose(expected, task.values());
        for (int e = 0; e < options.epochs; e++) {
            assertEquals(whole.get(e).loss(), parts.get(e).loss(), ROUNDING * whole.get(e).loss(), "training loss");
            assertEquals(whole.get(e).accuracy(), parts.get(e).accuracy(), "training accuracy");
            assertEquals(whole.get(e).valLoss(), parts.get(e).valLoss(), ROUNDING * whole.get(e).valLoss(), "validation loss");
            assertEquals(whole.get(e).rate(), parts.get(e).rate(), "rate of the last update");
        }
    }

    @Test
    void lastGroupOfMicroBatchesMayHaveFewerBatches() {
        TinyOptions options = new TinyOptions();
        options.norms = BatchNormPolicy.FROZEN;
        options.optimizer = new Optimizer.Sgd(0, false);
        options.batch = 12;
        List<EpochRecord> whole = task.train("full", options);
        Map<String, float[]> expected = task.values();
        // updates of 12 and 10 rows, in batches of 4, 4, 4 | 4, 4, 2 and of 6, 6 | 6, 4
        for (int batch : new int[] {4, 6}) {
            options.batch = batch;
            options.accumulate = 12 / batch;
            List<EpochRecord> parts = task.train("full", options);
            assertClose(expected, task.values());
            assertEquals(whole.get(2).loss(), parts.get(2).loss(), ROUNDING * whole.get(2).loss());
        }
        options.batch = 5;
        options.accumulate = 4;
        List<EpochRecord> fives = task.train("full", options);
        options.batch = 20;
        options.accumulate = 1;
        List<EpochRecord> twenties = task.train("full", options);
        assertEquals(twenties.get(2).loss(), fives.get(2).loss(), ROUNDING * twenties.get(2).loss(), "groups of 20 and 2 rows");
    }

    @Test
    void meanLossDoesNotDependOnTheBatch() {
        TinyOptions options = new TinyOptions();
        options.epochs = 1;
        options.rate = 1e-30;
        options.norms = BatchNormPolicy.FROZEN;
        options.batch = TinyTask.TRAIN;
        EpochRecord whole = task.train("full", options).get(0);
        for (int batch : new int[] {1, 5, 8, 32}) {
            options.batch = batch;
            EpochRecord parts = task.train("full", options).get(0);
            assertEquals(whole.loss(), parts.loss(), ROUNDING * whole.loss(), "batch " + batch);
            assertEquals(whole.accuracy(), parts.accuracy(), "batch " + batch);
            assertEquals(whole.valLoss(), parts.valLoss(), ROUNDING * whole.valLoss(), "batch " + batch);
        }
    }

    @Test
    void gradualStagesKeepTheMoments() {
        TinyOptions options = new TinyOptions();
        List<float[]> ends = new ArrayList<>();
        List<float[]> starts = new ArrayList<>();
        List<Integer> stages = new ArrayList<>();
        task.train("gradual:every=1", options, "none", new TrainObserver() {
            @Override
            public void stage(Stage stage, String memory) {
                stages.add(stage.number());
                if (stage.number() > 0) {
                    starts.add(task.parameters.readMoment("fc.weight", 0));
                }
            }

            @Override
            public void epoch(EpochRecord record) {
                ends.add(task.parameters.readMoment("fc.weight", 0));
            }
        }, () -> false);
        assertEquals(List.of(0, 1, 2), stages);
        for (int s = 0; s < 2; s++) {
            assertArrayEquals(ends.get(s), starts.get(s), "momentum of the head at the start of stage " + (s + 1));
            assertTrue(norm(starts.get(s)) > 0);
        }
    }

    @Test
    void plateausUnfreezeOneGroupMore() {
        TinyOptions options = new TinyOptions();
        options.epochs = 8;
        List<EpochRecord> history = task.train("gradual:patience=1", options);
        double best = -1;
        int stage = 0;
        for (EpochRecord record : history) {
            assertEquals(Math.min(stage, 2), record.stage(), "stage of epoch " + record.epoch() + " in " + history);
            stage += record.valAccuracy() > best ? 0 : 1;
            best = Math.max(best, record.valAccuracy());
        }
        assertTrue(stage > 0, "no plateau in " + history);
    }

    @Test
    void earlyStoppingGivesTheBestEpochBack() {
        TinyOptions options = new TinyOptions();
        options.epochs = 40;
        options.patience = 3;
        List<Map<String, float[]>> ends = new ArrayList<>();
        List<EpochRecord> history = task.train("full", options, "none", new TrainObserver() {
            @Override
            public void epoch(EpochRecord record) {
                ends.add(task.values());
            }
        }, () -> false);
        int best = task.trainer.bestEpoch();
        assertEquals(best + options.patience, history.size(), "epochs of " + history);
        double score = history.get(best - 1).valAccuracy();
        for (int e = 0; e < history.size(); e++) {
            assertTrue(e < best - 1 ? history.get(e).valAccuracy() < score : history.get(e).valAccuracy() <= score, "epoch " + (e + 1));
        }
        assertFalse(Arrays.equals(ends.get(best - 1).get("fc.weight"), ends.get(history.size() - 1).get("fc.weight")));
        task.values().forEach((name, values) -> assertArrayEquals(ends.get(best - 1).get(name), values, name));
    }

    static void assertClose(Map<String, float[]> expected, Map<String, float[]> actual) {
        actual.forEach((name, values) -> {
            float[] wanted = expected.get(name);
            double magnitude = 0;
            double error = 0;
            for (int i = 0; i < values.length; i++) {
                magnitude = Math.max(magnitude, Math.abs(wanted[i]));
                error = Math.max(error, Math.abs((double) values[i] - wanted[i]));
            }
            assertTrue(error <= ROUNDING * magnitude, name + " is off by " + error + " of " + magnitude);
        });
    }

    private static double norm(float[] values) {
        double squares = 0;
        for (float value : values) {
            squares += (double) value * value;
        }
        return Math.sqrt(squares);
    }
}
