package dev.graft.jmh;

import dev.graft.data.Augmentation;
import dev.graft.data.Batch;
import dev.graft.data.Dataset;
import dev.graft.data.DecodedCache;
import dev.graft.data.Loader;
import dev.graft.data.Pipeline;
import dev.graft.engine.Precision;
import dev.graft.model.Models;
import dev.graft.pairs.Step;
import java.util.Map;

/**
 * One epoch of ResNet-18 full steps on JPEGs of 500 x 375 with torchvision's training augmentation. Nothing decoded is
 * kept, so that every epoch loads as a first one does. Tells the share of the time in which the engine waited for pictures.
 */
final class LoaderEpoch implements Step, AutoCloseable {
    static final String WAITED = "loader_wait_percent";
    private static final int BATCHES = 8;

    private final TrainingStep step;
    private final Pictures pictures;
    private final Dataset dataset;
    private final Loader loader;
    private final Map<String, String> settings;
    private int epoch;
    private double waitedPercent;

    /** @param settings where {@value #WAITED} of the last epoch is told */
    LoaderEpoch(Precision precision, int threads, Map<String, String> settings) {
        this.settings = settings;
        step = new TrainingStep(StartFile.published("resnet18"), TrainingStep.Recipe.sgd("full"), precision, 32, threads);
        pictures = new Pictures(BATCHES * step.batch());
        dataset = Dataset.open(pictures.folder(), 0);
        Pipeline pipeline = Pipeline.training(Models.named("resnet18").card(), Augmentation.parse("resized-crop+flip"), 0);
        loader = Loader.shuffled(dataset.train(), pipeline, step.batch(), threads, 0, new DecodedCache(0));
    }

    @Override
    public double run() {
        long waited = loader.waitedNanos();
        long start = System.nanoTime();
        loader.begin(epoch++);
        for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
            step.run(batch);
        }
        waitedPercent = 100.0 * (loader.waitedNanos() - waited) / (System.nanoTime() - start);
        settings.put(WAITED, String.valueOf(waitedPercent));
        return 0;
    }

    double waitedPercent() {
        return waitedPercent;
    }

    @Override
    public void close() {
        loader.close();
        dataset.close();
        pictures.close();
        step.close();
    }
}
