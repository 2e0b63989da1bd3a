package dev.graft.train;

import dev.graft.data.Batch;
import dev.graft.data.Loader;
import dev.graft.engine.Graph;
import dev.graft.engine.Parameters;
import dev.graft.engine.Philox;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Session;
import dev.graft.engine.Split;
import dev.graft.engine.Workspace;
import dev.graft.model.Network;
import dev.graft.tune.ParameterGroup;
import dev.graft.tune.Stage;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;

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
    private Plan train;
    private Plan evaluate;
    private FeatureCache trainFeatures;
    private FeatureCache valFeatures;
    private final Map<String, FloatBuffer> buffers = new HashMap<>();
    private final int[] targets;
    private Loader trainLoader;
    private Loader valLoader;
    private int[] order;
    private int cursor;

    StagePlans(Network network, Graph graph, Stage stage, Parameters parameters, TrainData data, TrainOptions options,
               boolean standardise, TrainObserver observer, BooleanSupplier stop) {
        this.data = data;
        this.options = options;
        this.parameters = parameters;
        this.targets = new int[options.batch()];
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
            train = Plan.compile(run, parameters, training(stage), workspace);
            evaluate = data.val() == null ? null : Plan.compile(run, parameters, evaluation().build(), workspace);
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

    private PlanOptions training(Stage stage) {
        PlanOptions.Builder b = PlanOptions.train(options.batch(), options.optimizer()).precision(options.precision())
                .groups(stage.groups().size()).accumulate(options.accumulate() > 1).clip(options.clip() > 0).watch(true)
                .anchor(stage.groups().stream().anyMatch(g -> g.anchor() > 0));
        for (int g = 0; g < stage.groups().size(); g++) {
            for (String name : stage.groups().get(g).parameters()) {
                b.train(name, g);
            }
        }
        stage.tracked().forEach(b::track);
        return b.build();
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
        split.boundary().forEach(name -> buffers.put(name, direct(options.batch() * FeatureCache.floats(split.prefix(), name))));
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

    /** Starts an epoch of training batches. */
    void begin(int epoch) {
        train.visit(epoch);
        if (trainFeatures != null) {
            order = Arrays.stream(Philox.permutation(Philox.key(options.seed(), "shuffle"), epoch, trainFeatures.size()))
                    .filter(trainFeatures::holds).toArray();
            cursor = 0;
        } else {
            if (trainLoader == null) {
                trainLoader = Loader.shuffled(data.train(), data.training(), options.batch(), data.threads(), options.seed(), data.trainCache());
            }
            trainLoader.begin(epoch);
        }
    }

    /** Puts the next training batch into the plan. Returns its rows, or 0 at the end of the epoch. */
    int next() {
        return trainFeatures != null ? nextFeatures(train, trainFeatures) : nextPictures(train, trainLoader);
    }

    private int nextFeatures(Session plan, FeatureCache features) {
        int valid = Math.min(options.batch(), order.length - cursor);
        if (valid == 0) {
            return 0;
        }
        int[] places = Arrays.copyOfRange(order, cursor, cursor + valid);
        cursor += valid;
        features.write(plan, places, valid, buffers, targets);
        plan.input(TrainingGraph.TARGET).write(targets);
        long[] ids = new long[options.batch()];
        for (int i = 0; i < valid; i++) {
            ids[i] = features.id(places[i]);
        }
        plan.rows(valid, null, ids);
        return valid;
    }

    private int nextPictures(Session plan, Loader loader) {
        Batch batch = loader.next();
        if (batch == null) {
            return 0;
        }
        plan.input(Network.PIXELS).write(batch.pixels());
        plan.input(TrainingGraph.TARGET).write(batch.labels());
        plan.rows(batch.validRows(), null, batch.sampleIds());
        return batch.validRows();
    }

    /** Loss and accuracy on the validation split; null without one. */
    double[] validate(TrainObserver observer) {
        if (evaluate == null) {
            return null;
        }
        if (valFeatures != null) {
            order = IntStream.range(0, valFeatures.size()).filter(valFeatures::holds).toArray();
            cursor = 0;
        } else {
            if (valLoader == null) {
                valLoader = Loader.sequential(data.val(), data.evaluation(), options.batch(), data.threads(), data.valCache());
            }
            valLoader.begin(0);
        }
        double loss = 0;
        double correct = 0;
        int seen = 0;
        for (int n = nextValidation(); n > 0; n = nextValidation()) {
            evaluate.forward();
            loss += evaluate.loss() * n;
            correct += evaluate.correct();
            seen += n;
            if (valFeatures == null) {
                observer.pass("validation", seen, data.val().size());
            }
        }
        return new double[] {loss / seen, correct / seen};
    }

    private int nextValidation() {
        return valFeatures != null ? nextFeatures(evaluate, valFeatures) : nextPictures(evaluate, valLoader);
    }

    /** Seconds that training and validation waited for pictures so far. */
    double waitedSeconds() {
        return ((trainLoader == null ? 0 : trainLoader.waitedNanos()) + (valLoader == null ? 0 : valLoader.waitedNanos())) / 1e9;
    }

    /** Pictures of an epoch; those that turn out to be unreadable while they are loaded count. */
    int pictures() {
        return trainFeatures != null ? (int) IntStream.range(0, trainFeatures.size()).filter(trainFeatures::holds).count()
                : data.train().size();
    }

    int batches() {
        return (pictures() + options.batch() - 1) / options.batch();
    }

    private static FloatBuffer direct(int floats) {
        return ByteBuffer.allocateDirect(4 * floats).order(ByteOrder.nativeOrder()).asFloatBuffer();
    }

    @Override
    public void close() {
        if (trainLoader != null) {
            trainLoader.close();
        }
        if (valLoader != null) {
            valLoader.close();
        }
        if (evaluate != null) {
            evaluate.close();
        }
        if (train != null) {
            train.close();
        }
        workspace.close();
    }
}
