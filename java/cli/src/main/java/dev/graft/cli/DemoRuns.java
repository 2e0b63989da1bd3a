package dev.graft.cli;

import dev.graft.finetune.FineTuning;
import dev.graft.finetune.FineTuningBuilder;
import dev.graft.finetune.FineTuningResult;
import dev.graft.train.EpochRecord;
import dev.graft.train.TrainObserver;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;

/**
 * The runs of the demonstration: each strategy with each seed, on few pictures a class. A seed draws its own training
 * pictures, so that the interval over seeds tells of those too; the test pictures are the same for all. As many runs go on at a
 * time as there are threads, each on one, so that a run's bits do not depend on their number.
 */
final class DemoRuns {
    static final String MODEL = "cifar_resnet20";
    static final List<String> STRATEGIES = List.of("scratch", "head", "partial:from=layer3", "full");
    static final int SEEDS = 3;
    /** Pictures a class. */
    static final int TRAINING = 15;
    static final int VALIDATION = 10;
    static final int TESTING = 40;
    static final int EPOCHS = 25;

    private static final int BATCH = 15;
    private static final double RATE = 0.05;
    /** Seed of the test pictures, apart from all those of runs. */
    private static final long TEST_SEED = 1L << 40;

    private final Path folder;
    private final Path backbone;
    private final List<String> strategies;
    private final long seed;
    private final int threads;
    private final Map<String, List<FineTuningResult>> results = new LinkedHashMap<>();

    /**
     * @param folder for pictures and results
     * @param backbone weights to begin with
     * @param strategies to compare
     * @param seed the first of the seeds
     * @param threads runs at a time
     */
    DemoRuns(Path folder, Path backbone, List<String> strategies, long seed, int threads) {
        this.folder = folder;
        this.backbone = backbone;
        this.strategies = List.copyOf(strategies);
        this.seed = seed;
        this.threads = threads;
    }

    /** Hears of the runs, on their threads. */
    interface Listener {
        /** An epoch of some run is done. */
        void epoch();

        /** A run is done. */
        void run(String strategy, long seed, FineTuningResult result);
    }

    /** Draws the pictures and runs everything, until {@code stop} says so. Returns whether all of it was run. */
    boolean run(Listener listener, BooleanSupplier stop) {
        for (int s = 0; s < SEEDS; s++) {
            ShapePictures.target().write(pictures(s).resolve("train"), Shape.TARGET, TRAINING, seed + s);
            ShapePictures.target().write(pictures(s).resolve("val"), Shape.TARGET, VALIDATION, seed + s + TEST_SEED / 2);
            ShapePictures.target().write(pictures(s).resolve("test"), Shape.TARGET, TESTING, TEST_SEED);
        }
        AtomicBoolean over = new AtomicBoolean();
        BooleanSupplier end = () -> over.get() || stop.getAsBoolean();
        ExecutorService workers = Executors.newFixedThreadPool(threads);
        try {
            Map<String, List<Future<FineTuningResult>>> pending = new LinkedHashMap<>();
            for (String strategy : strategies) {
                List<Future<FineTuningResult>> ofSeeds = pending.computeIfAbsent(strategy, key -> new ArrayList<>());
                for (int s = 0; s < SEEDS; s++) {
                    int number = s;
                    ofSeeds.add(workers.submit(() -> end.getAsBoolean() ? null : one(strategy, number, listener, end)));
                }
            }
            for (Map.Entry<String, List<Future<FineTuningResult>>> entry : pending.entrySet()) {
                List<FineTuningResult> done = new ArrayList<>();
                for (Future<FineTuningResult> run : entry.getValue()) {
                    FineTuningResult result = run.get();
                    if (result == null || result.interrupted()) {
                        return false;
                    }
                    done.add(result);
                }
                results.put(entry.getKey(), done);
            }
            return true;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof Error error) {
                throw error;
            }
            throw (RuntimeException) e.getCause();      // a run throws nothing that is checked
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while waiting for the runs", e);
        } finally {
            over.set(true);
            end(workers);
        }
    }

    private FineTuningResult one(String strategy, int s, Listener listener, BooleanSupplier end) {
        FineTuningBuilder builder = FineTuning.of(MODEL).data(pictures(s)).strategy(strategy).epochs(EPOCHS).batch(BATCH).rate(RATE)
                .seed(seed + s).threads(1).out(bundle(strategy, s));
        if (!strategy.equals("scratch")) {
            builder.weights(backbone);
        }
        try (FineTuning run = builder.open()) {
            FineTuningResult result = run.run(observer(listener), end);
            if (!result.interrupted()) {
                listener.run(strategy, seed + s, result);
            }
            return result;
        }
    }

    /** Waits for the runs to end: what they write to is about to go. */
    private static void end(ExecutorService workers) {
        workers.shutdown();
        try {
            while (!workers.awaitTermination(1, TimeUnit.HOURS)) {
                // a step takes milliseconds; there is nothing to do but to wait
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Results by strategy, one a seed. */
    Map<String, List<FineTuningResult>> results() {
        return results;
    }

    /** The saved result of a run. */
    Path bundle(String strategy, int s) {
        return folder.resolve(strategy.replace(':', '-').replace('=', '-') + "-" + s);
    }

    /** The first of a class's test pictures. */
    Path testPicture(Shape figure, int number) {
        return pictures(0).resolve("test").resolve(figure.label()).resolve(String.format("%04d.png", number));
    }

    /** Writes the weights that the command carries with it. */
    static void unpackBackbone(Path file) {
        try (InputStream in = DemoRuns.class.getResourceAsStream("demo-backbone.safetensors")) {
            if (in == null) {
                throw new IllegalStateException("demo-backbone.safetensors is missing from the jar graft-cli");
            }
            Files.copy(in, file);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot write " + file + ": " + e.getMessage(), e);
        }
    }

    private Path pictures(int s) {
        return folder.resolve("pictures-" + s);
    }

    private static TrainObserver observer(Listener listener) {
        return new TrainObserver() {
            @Override
            public void epoch(EpochRecord record) {
                listener.epoch();
            }
        };
    }
}
