package dev.graft.train;

import dev.graft.data.Loader;
import dev.graft.data.PictureBytes;
import dev.graft.data.UnreadablePicture;
import dev.graft.engine.Graph;
import dev.graft.engine.OutOfDeviceMemoryException;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Split;
import dev.graft.engine.Workspace;
import dev.graft.model.Network;
import dev.graft.tune.ParameterGroup;
import dev.graft.tune.Stage;
import java.util.Optional;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The compiled plans of one stage and where their batches come from: pictures, or features of the frozen prefix that were
 * computed once. Train and evaluation plan share a workspace. Closed when the stage ends.
 */
final class StagePlans implements AutoCloseable {
    /** Share of the memory that the JVM may still take which cached features may fill. */
    private static final double CACHE_SHARE = 0.5;

    private final TrainData data;
    private final TrainOptions options;
    private final Parameters parameters;
    private final Workspace workspace;
    private PictureBytes resident;
    private Plan train;
    private Plan evaluate;
    private FeatureCache trainFeatures;
    private FeatureCache valFeatures;
    private Batches trainBatches;
    private Batches valBatches;

    StagePlans(Network network, Graph graph, Stage stage, Parameters parameters, TrainData data, TrainOptions options,
               boolean standardise, TrainObserver observer, BooleanSupplier stop) {
        this.data = data;
        this.options = options;
        this.parameters = parameters;
        this.workspace = parameters.device().workspace();
        Set<String> live = stage.live();
        if (standardise) {
            live.add(Standardisation.SCALE);
            live.add(Standardisation.SHIFT);
        }
        try {
            Split split = graph.split(live);
            boolean cached = FeatureCache.suffices(split) && options.cache() && data.training().deterministic() && fits(split, observer);
            if (cached || standardise) {
                Plan plan = Plan.compile(split.prefix(), parameters, evaluation().build(), workspace);
                try (FrozenPrefix prefix = new FrozenPrefix(plan, data.threads(), observer, stop)) {
                    if (cached) {
                        cache(prefix, split);
                    }
                    if (standardise) {
                        standardise(network, prefix);
                    }
                }
            }
            Graph run = cached ? split.suffix() : graph;
            if (cached || !reside(run, stage, observer)) {
                train = Plan.compile(run, parameters, training(stage).build(), workspace);
                evaluate = evaluation(run);
            }
            for (int g = 0; g < stage.groups().size(); g++) {
                ParameterGroup group = stage.groups().get(g);
                train.decay(g, group.decay());
                train.anchor(g, group.anchor());
            }
            train.seed(options.seed());
            train.clip(options.clip());
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    private PlanOptions.Builder evaluation() {
        return PlanOptions.eval(options.batch()).precision(options.precision());
    }

    private PlanOptions.Builder training(Stage stage) {
        PlanOptions.Builder b = PlanOptions.train(options.batch(), options.optimizer()).precision(options.precision())
                .groups(stage.groups().size()).accumulate(options.accumulate() > 1).clip(options.clip() > 0).watch(true).average(options.average())
                .anchor(stage.groups().stream().anyMatch(g -> g.anchor() > 0));
        for (int g = 0; g < stage.groups().size(); g++) {
            for (String name : stage.groups().get(g).parameters()) {
                b.train(name, g);
            }
        }
        stage.tracked().forEach(b::track);
        return b;
    }

    private Plan evaluation(Graph run) {
        return data.val() == null ? null : Plan.compile(run, parameters, evaluation().build(), workspace);
    }

    /** Compiles the plans for pictures that stay on the device, where they can. */
    private boolean reside(Graph run, Stage stage, TrainObserver observer) {
        if (!ResidentBatches.wanted(parameters.device()) || run.find(Network.PIXELS).isEmpty()) {
            return false;
        }
        String reason = "a random resized crop resizes each picture anew";
        if (data.training().cutsOnly()) {
            try {
                reason = reside(run, stage);
            } catch (OutOfDeviceMemoryException | UnreadablePicture e) {
                reason = e.getMessage();
            }
        }
        if (reason != null) {
            closePlans();
            observer.warning("the training pictures do not stay on the device, each batch is sent to it: " + reason);
        }
        return reason == null;
    }

    private String reside(Graph run, Stage stage) {
        resident = PictureBytes.of(data.train(), data.training(), data.trainCache());
        PlanOptions.Builder b = training(stage);
        ResidentBatches.options(b);
        train = Plan.compile(ResidentBatches.graph(run, resident, data.train().size(), data.training().size()), parameters, b.build(), workspace);
        evaluate = evaluation(run);
        return ResidentBatches.fill(train, resident, data.training(), data.threads());
    }

    private void closePlans() {
        Stream.of(Optional.ofNullable(evaluate), Optional.ofNullable(train)).flatMap(Optional::stream).forEach(Plan::close);
        evaluate = null;
        train = null;
        resident = null;
    }

    private boolean fits(Split split, TrainObserver observer) {
        long samples = data.train().size() + (data.val() == null ? 0 : data.val().size());
        long bytes = FeatureCache.bytes(split, samples);
        Runtime jvm = Runtime.getRuntime();
        long room = (long) (CACHE_SHARE * (jvm.maxMemory() - jvm.totalMemory() + jvm.freeMemory()));
        if (bytes > room) {
            observer.warning("features of the frozen layers would take " + (bytes >> 20) + " MiB, " + (room >> 20)
                    + " MiB of Java memory may be used for them: the frozen layers run in every epoch");
        }
        return bytes <= room;
    }

    private void cache(FrozenPrefix prefix, Split split) {
        trainFeatures = FeatureCache.fill(prefix, "features", split.boundary(), data.train(), data.training(), data.trainCache());
        valFeatures = data.val() == null ? null
                : FeatureCache.fill(prefix, "validation features", split.boundary(), data.val(), data.evaluation(), data.valCache());
    }

    private void standardise(Network network, FrozenPrefix prefix) {
        String raw = network.graph().outputs().get(Network.FEATURES).name();
        long channels = network.graph().dims(raw).get(network.graph().dims(raw).size() - 1);
        Standardisation statistics = new Standardisation(Math.toIntExact(channels));
        if (trainFeatures == null) {
            prefix.run("feature statistics", data.train(), data.training(), data.trainCache(), batch -> statistics.add(prefix.read(raw, batch)));
        } else {
            IntStream.range(0, trainFeatures.size()).filter(trainFeatures::holds).forEach(i -> statistics.add(trainFeatures.features(raw, i)));
        }
        statistics.write(parameters);
        Standardisation.adapt(network, parameters);
    }

    Plan train() {
        return train;
    }

    /** Whether the frozen prefix was computed once and no longer runs. */
    boolean cached() {
        return trainFeatures != null;
    }

    /** The batches of an epoch, not begun yet. */
    Batches epoch(int epoch) {
        train.visit(epoch);
        if (trainBatches == null && resident != null) {
            trainBatches = new ResidentBatches(train, resident, data.train(), data.training(), options.batch(), options.seed());
        }
        if (trainBatches == null) {
            trainBatches = trainFeatures != null ? new FeatureBatches(train, trainFeatures, options.batch(), options.seed())
                    : new PictureBatches(train, Loader.shuffled(data.train(), data.training(), options.batch(), data.threads(), options.seed(),
                            data.trainCache()));
        }
        return trainBatches;
    }

    /** Loss and accuracy on the validation split; null without one. */
    double[] validate(TrainObserver observer) {
        if (evaluate == null) {
            return null;
        }
        if (valBatches == null) {
            valBatches = valFeatures != null ? new FeatureBatches(evaluate, valFeatures, options.batch(), null)
                    : new PictureBatches(evaluate, Loader.sequential(data.val(), data.evaluation(), options.batch(), data.threads(),
                            data.valCache()));
        }
        double loss = 0;
        double correct = 0;
        int seen = 0;
        int rows = valBatches.begin(0);
        while (rows > 0) {
            int next = valBatches.ahead();
            evaluate.forward();
            loss += evaluate.loss() * rows;
            correct += evaluate.correct();
            seen += rows;
            if (valFeatures == null) {
                observer.pass("validation", seen, data.val().size());
            }
            valBatches.advance();
            rows = next;
        }
        return new double[] {loss / seen, correct / seen};
    }

    /** Seconds that training and validation waited for pictures so far. */
    double waitedSeconds() {
        return (trainBatches == null ? 0 : trainBatches.waitedSeconds()) + (valBatches == null ? 0 : valBatches.waitedSeconds());
    }

    /** Pictures of an epoch; those that turn out to be unreadable while they are loaded count. */
    int pictures() {
        return trainFeatures != null ? trainFeatures.held() : data.train().size();
    }

    int batches() {
        return (pictures() + options.batch() - 1) / options.batch();
    }

    @Override
    public void close() {
        if (trainBatches != null) {
            trainBatches.close();
        }
        if (valBatches != null) {
            valBatches.close();
        }
        closePlans();
        workspace.close();
    }
}
