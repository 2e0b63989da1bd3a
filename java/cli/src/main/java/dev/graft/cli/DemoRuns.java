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
import java.util.function.BooleanSupplier;

/**
 * The runs of the demonstration: each strategy with each seed, on few pictures a class. A seed draws its own training
 * pictures, so that the interval over seeds tells of those too; the test pictures are the same for all.
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
     */
    DemoRuns(Path folder, Path backbone, List<String> strategies, long seed, int threads) {
        this.folder = folder;
        this.backbone = backbone;
        this.strategies = List.copyOf(strategies);
        this.seed = seed;
        this.threads = threads;
    }

    /** Hears of each run that is done. */
    interface Listener {
        /** A run begins its next epoch. */
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
        for (String strategy : strategies) {
            for (int s = 0; s < SEEDS; s++) {
                FineTuningBuilder builder = FineTuning.of(MODEL).data(pictures(s)).strategy(strategy).epochs(EPOCHS).batch(BATCH)
                        .rate(rate(strategy)).seed(seed + s).threads(threads).out(bundle(strategy, s));
                if (!strategy.equals("scratch")) {
                    builder.weights(backbone);
                }
                try (FineTuning run = builder.open()) {
                    FineTuningResult result = run.run(observer(listener), stop);
                    if (result.interrupted()) {
                        return false;
                    }
                    results.computeIfAbsent(strategy, key -> new ArrayList<>()).add(result);
                    listener.run(strategy, seed + s, result);
                }
            }
        }
        return true;
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

    // A fresh network needs larger steps than a pretrained one.
    private static double rate(String strategy) {
        return strategy.equals("scratch") ? 0.05 : 0.02;
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
