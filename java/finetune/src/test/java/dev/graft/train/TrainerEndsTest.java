package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.data.Batch;
import dev.graft.data.DecodedCache;
import dev.graft.data.Loader;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.binding.global.Graft;
import dev.graft.model.Network;
import dev.graft.tune.BatchNormPolicy;
import dev.graft.tune.Method;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** How runs end other than after their last epoch, what they warn of, what a step calls, and what the saved network is. */
class TrainerEndsTest {
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

    @Test
    void aStepOfTheLoopIsOneNativeCall() {
        List<Long> calls = new ArrayList<>();
        TrainObserver counting = new TrainObserver() {
            @Override
            public void step(int epoch, int step, int steps, double loss, double rate) {
                calls.add(epoch == 1 ? Graft.graft_calls() : -1);
            }
        };
        TinyOptions options = new TinyOptions();
        options.batch = 4;
        task.train("full", options, "flip", counting, () -> false);
        for (int step = 1; step < 5; step++) {
            assertEquals(1, calls.get(step) - calls.get(step - 1), "native calls from step " + step + " to the next");
        }
    }

    @Test
    void hugeRateDivergesNamesATensorAndGivesTheStartBack() {
        TinyOptions options = new TinyOptions();
        options.rate = 1e6;
        options.weightDecay = 1e6;
        task.start();
        Map<String, float[]> before = task.values();
        Diverged e = assertThrows(Diverged.class, () -> task.train("full", options));
        assertTrue(e.getMessage().contains("epoch 1, step "), e.getMessage());
        assertTrue(task.network.graph().entries().stream().anyMatch(entry -> e.getMessage().contains(entry.name())), e.getMessage());
        task.values().forEach((name, values) -> assertArrayEquals(before.get(name), values, name));
        assertEquals(List.of(), task.trainer.history());
    }

    @Test
    void divergenceGivesTheLastGoodEpochBack() {
        TinyOptions options = new TinyOptions();
        Map<String, float[]> good = new HashMap<>();
        TrainObserver poison = new TrainObserver() {
            @Override
            public void step(int epoch, int step, int steps, double loss, double rate) {
                if (epoch == 2 && step == 2) {
                    task.parameters.write("fc.bias", new float[] {Float.NaN, 0, 0});
                }
            }

            @Override
            public void epoch(EpochRecord record) {
                good.putAll(task.values());
            }
        };
        Diverged e = assertThrows(Diverged.class, () -> task.train("full", options, "none", poison, () -> false));
        assertTrue(e.getMessage().startsWith("the loss became NaN in epoch 2, step 3; the first value that is not finite is fc.bias. "), e.getMessage());
        task.values().forEach((name, values) -> assertArrayEquals(good.get(name), values, name));
        assertEquals(1, task.trainer.history().size());
    }

    @Test
    void anUpdateThatOverflowsAfterTheLastFiniteLossIsNoGoodEpoch() {
        TinyOptions options = new TinyOptions();
        options.epochs = 12;
        options.batch = TinyTask.TRAIN;
        options.rate = 1e6;
        options.weightDecay = 1e6;
        options.optimizer = new Optimizer.Sgd(0, false);
        Diverged e = assertThrows(Diverged.class, () -> task.train("partial:train=fc.weight", options));
        assertFalse(task.trainer.history().isEmpty(), e.getMessage());
        for (float value : task.values().get("fc.weight")) {
            assertTrue(Float.isFinite(value), "kept " + value + " after: " + e.getMessage());
        }
    }

    @Test
    void stopEndsAfterTheStep() {
        List<Integer> steps = new ArrayList<>();
        TrainObserver observer = new TrainObserver() {
            @Override
            public void step(int epoch, int step, int all, double loss, double rate) {
                assertEquals(3, all);
                steps.add(10 * epoch + step);
            }
        };
        List<EpochRecord> history = task.train("full", new TinyOptions(), "none", observer, () -> steps.size() == 5);
        assertEquals(List.of(11, 12, 13, 21, 22), steps);
        assertTrue(task.trainer.interrupted());
        assertEquals(2, history.size());
        assertNull(history.get(1).valAccuracy());
    }

    @ParameterizedTest
    @CsvSource({"true, features", "true, validation features", "false, feature statistics"})
    void stopEndsAPassOfTheFrozenLayersAfterTheBatch(boolean cache, String pass) {
        TinyOptions options = new TinyOptions();
        options.cache = cache;
        List<Integer> done = new ArrayList<>();
        TrainObserver observer = new TrainObserver() {
            @Override
            public void pass(String what, int pictures, int all) {
                if (what.equals(pass)) {
                    done.add(pictures);
                }
            }
        };
        task.start();
        Map<String, float[]> before = task.values();
        assertEquals(List.of(), task.again("head", options, "none", observer, () -> !done.isEmpty()));
        assertEquals(List.of(options.batch), done);
        assertTrue(task.trainer.interrupted());
        task.values().forEach((name, values) -> assertArrayEquals(before.get(name), values, name));
    }

    @Test
    void savedHeadAnswersWithoutScalesAsItWasTrainedWithThem() {
        EpochRecord last = task.train("head", new TinyOptions()).get(2);
        double loss = 0;
        try (Plan plan = Plan.compile(TrainingGraph.of(task.network.graph(), 0), task.parameters, PlanOptions.eval(TinyTask.VAL).build());
                Loader loader = Loader.sequential(task.dataset.val(), task.data("none", true, new TinyOptions().build()).evaluation(),
                        TinyTask.VAL, 1, new DecodedCache(0))) {
            loader.begin(0);
            Batch batch = loader.next();
            plan.input(Network.PIXELS).write(batch.pixels());
            plan.input(TrainingGraph.TARGET).write(batch.labels());
            plan.forward();
            loss = plan.loss();
            assertEquals(last.valAccuracy(), plan.correct() / TinyTask.VAL);
        }
        assertEquals(last.valLoss(), loss, 1e-5 * loss);
    }

    @Test
    void largeUpdatesOfPretrainedWeightsAreWarnedOfOnceATensor() {
        TinyOptions options = new TinyOptions();
        options.rate = 3;
        options.clip = 1;
        List<String> warnings = new ArrayList<>();
        TrainObserver observer = new TrainObserver() {
            @Override
            public void warning(String message) {
                warnings.add(message);
            }
        };
        task.train("full", options, "none", observer, () -> false);
        assertEquals(1, warnings.stream().filter(w -> w.contains("moved conv2.weight by")).count(), warnings.toString());
        assertEquals(warnings.size(), warnings.stream().map(w -> w.replaceAll("update \\d+ | by .*", "")).distinct().count(), warnings.toString());
        assertTrue(warnings.stream().noneMatch(w -> w.contains("fc.") || w.contains("bn")), "new heads and norms are not warned of: " + warnings);
        warnings.clear();
        options.rate = 1e-4;
        task.train("full", options, "none", observer, () -> false);
        assertEquals(List.of(), warnings);
    }

    @Test
    void patienceNeedsValidationPictures() {
        TinyOptions options = new TinyOptions();
        options.patience = 2;
        TrainOptions o = options.build();
        task.start();
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> new Trainer(task.network, task.parameters, new Method.Full(),
                task.stages("full", o), task.data("none", false, o), o, TrainObserver.SILENT, () -> false));
        assertEquals("patience is 2, but there are no validation pictures to judge epochs by", e.getMessage());
        TrainOptions plain = new TinyOptions().build();
        IllegalArgumentException plateau = assertThrows(IllegalArgumentException.class, () -> new Trainer(task.network, task.parameters,
                new Method.Gradual(0, 2), task.stages("gradual:patience=2", plain), task.data("none", false, plain), plain, TrainObserver.SILENT, () -> false));
        assertTrue(plateau.getMessage().startsWith("strategy gradual:patience=2, but there are no validation"), plateau.getMessage());
    }

    @Test
    void warmupLongerThanTheRunIsRefusedBeforeTheFirstStep() {
        TinyOptions options = new TinyOptions();
        options.warmup = 9;
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> task.train("full", options));
        assertEquals("warmup is 9 updates, the run has 9", e.getMessage());
    }

    @Test
    void headWithNormsThatFollowTheirBatchesTrainsWithoutScales() {
        TinyOptions options = new TinyOptions();
        options.norms = BatchNormPolicy.TRAIN;
        assertEquals(3, task.train("head", options).size());
        assertFalse(task.parameters.contains(Standardisation.SCALE));
    }
}
