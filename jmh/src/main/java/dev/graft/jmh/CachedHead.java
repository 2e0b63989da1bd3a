package dev.graft.jmh;

import dev.graft.data.Augmentation;
import dev.graft.data.Dataset;
import dev.graft.data.Pipeline;
import dev.graft.engine.Device;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Parameters;
import dev.graft.engine.Precision;
import dev.graft.model.Architecture;
import dev.graft.model.Checkpoint;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.pairs.Step;
import dev.graft.train.EpochRecord;
import dev.graft.train.Schedule;
import dev.graft.train.TrainData;
import dev.graft.train.TrainObserver;
import dev.graft.train.TrainOptions;
import dev.graft.train.Trainer;
import dev.graft.tune.BatchNormPolicy;
import dev.graft.tune.Method;
import dev.graft.tune.RateRule;
import dev.graft.tune.Stage;
import dev.graft.tune.Strategy;
import dev.graft.weights.WeightFile;
import java.util.List;
import java.util.Map;

/**
 * Two epochs of training a new head on ResNet-18 with the feature cache: the first makes the features of every picture, the
 * second reads them. The first is counted from the start of the run, compiling and filling included.
 */
final class CachedHead implements Step, AutoCloseable {
    static final String FIRST = "first_epoch_ms";
    static final String SPEEDUP = "second_epoch_speedup";
    private static final int PICTURES = 320;
    private static final int BATCH = 32;

    private final Pictures pictures = new Pictures(PICTURES);
    private final Dataset dataset = Dataset.open(pictures.folder(), 0);
    private final Precision precision;
    private final int threads;
    private final Map<String, String> settings;
    private final long[] ended = new long[2];
    private double first;
    private double second;

    /** @param settings where {@value #FIRST} and {@value #SPEEDUP} of the last run are told */
    CachedHead(Precision precision, int threads, Map<String, String> settings) {
        this.precision = precision;
        this.threads = threads;
        this.settings = settings;
    }

    @Override
    public double run() {
        Architecture architecture = Models.named("resnet18");
        Network network = architecture.network(architecture.imageSize(), dataset.classes().size());
        Pipeline pipeline = Pipeline.training(architecture.card(), Augmentation.NONE, 0);
        TrainOptions options = new TrainOptions(2, BATCH, 0.01, new Optimizer.Sgd(0.9, false), 0, Schedule.CONSTANT, 0, 0, 0,
                Double.NaN, 0, RateRule.EVEN, BatchNormPolicy.AUTO, 0, 1, 0, 0, precision, true, 0);
        try (Device device = Device.open("cpu", threads, 1)) {
            Parameters parameters = device.parameters();
            List<String> head = network.head().parameters();
            try (WeightFile file = WeightFile.open(StartFile.of(StartFile.published("resnet18")))) {
                Checkpoint.load(network, file, head, 0, parameters);
            }
            Method method = Strategy.parse("head");
            Stage stage = Stage.of(method, 0, network, options.norms(), options.rates(), new Stage.Regularisation(0, 0), head);
            TrainData data = TrainData.of(dataset.train(), null, pipeline, pipeline, threads);
            TrainObserver clock = new TrainObserver() {
                @Override
                public void epoch(EpochRecord record) {
                    ended[record.epoch() - 1] = System.nanoTime();
                }
            };
            long start = System.nanoTime();
            List<EpochRecord> history =
                    new Trainer(network, parameters, method, List.of(stage), data, options, clock, () -> false).run();
            first = (ended[0] - start) / 1e6;
            second = (ended[1] - ended[0]) / 1e6;
            settings.put(FIRST, String.valueOf(first));
            settings.put(SPEEDUP, String.valueOf(first / second));
            return history.get(1).loss();
        }
    }

    /** The second epoch. */
    @Override
    public double countedMilliseconds() {
        return second;
    }

    double firstMilliseconds() {
        return first;
    }

    @Override
    public void close() {
        dataset.close();
        pictures.close();
    }
}
