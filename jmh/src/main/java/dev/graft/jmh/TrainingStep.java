package dev.graft.jmh;

import dev.graft.data.Batch;
import dev.graft.engine.DType;
import dev.graft.engine.Device;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Precision;
import dev.graft.engine.Value;
import dev.graft.model.Checkpoint;
import dev.graft.model.Network;
import dev.graft.pairs.Samples;
import dev.graft.pairs.Step;
import dev.graft.tune.BatchNormPolicy;
import dev.graft.tune.Method;
import dev.graft.tune.RateRule;
import dev.graft.tune.Stage;
import dev.graft.tune.Strategy;
import dev.graft.weights.WeightFile;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * A training step of a network on one fixed batch, as the peers take it, from the weights of its {@link StartFile}: pictures and
 * labels of {@link Samples}.
 */
final class TrainingStep implements Step, AutoCloseable {
    /** What a step trains and how. */
    record Recipe(String strategy, Optimizer optimizer, double rate, double decay) {
        /** SGD with momentum 0.9 and rate 0.002. */
        static Recipe sgd(String strategy) {
            return new Recipe(strategy, new Optimizer.Sgd(0.9, false), 0.002, 0);
        }

        /** AdamW with rate 1e-4 and decay 0.01 of all parameters. */
        static Recipe adamW(String strategy) {
            return new Recipe(strategy, new Optimizer.AdamW(), 1e-4, 0.01);
        }
    }

    private static final String LABELS = "labels";
    private static final long SEED = 0;

    private final Device device;
    private final Plan plan;
    private final int batch;
    private final long parameters;
    private final long trainable;

    /** @param recipe its strategy as the command takes it: {@code full}, {@code head}, {@code lora:r=8,alpha=16,targets=*.qkv} */
    TrainingStep(Network base, Recipe recipe, Precision precision, int batch, int threads) {
        this(base, recipe, precision, batch, Device.open("cpu", threads, 1));
    }

    /** @param device closed with the step */
    TrainingStep(Network base, Recipe recipe, Precision precision, int batch, Device device) {
        this.batch = batch;
        this.device = device;
        Method method = Strategy.parse(recipe.strategy());
        Network network = method.rewrite(base);
        List<String> added = names(network).stream().filter(name -> base.graph().find(name).isEmpty()).toList();
        Parameters store = device.parameters();
        try (WeightFile file = WeightFile.open(StartFile.of(base))) {
            Checkpoint.load(network, file, added, SEED, store);
        }
        Stage stage = Stage.of(method, 0, network, BatchNormPolicy.AUTO, RateRule.EVEN, new Stage.Regularisation(0, 0), List.of());
        PlanOptions.Builder options = PlanOptions.train(batch, recipe.optimizer()).precision(precision);
        stage.trainable().forEach(name -> options.train(name, 0));
        stage.tracked().forEach(options::track);
        parameters = count(network, names(network));
        trainable = count(network, stage.trainable());
        plan = Plan.compile(withLoss(network), store, options.build());
        plan.rate(0, recipe.rate());
        plan.decay(0, recipe.decay());
        plan.input(Network.PIXELS).write(Samples.pixels(batch, network.imageSize()));
        plan.input(LABELS).write(IntStream.range(0, batch).map(i -> Samples.label(i, network.classes())).toArray());
        plan.rows(batch);
    }

    private static List<String> names(Network network) {
        return network.graph().parameters().stream().filter(p -> !p.buffer()).map(Param::name).toList();
    }

    private static long count(Network network, List<String> names) {
        return names.stream().mapToLong(name -> ((Param) network.graph().entry(name)).count()).sum();
    }

    private static Graph withLoss(Network network) {
        GraphBuilder builder = Graph.builder();
        network.graph().entries().forEach(builder::add);
        Value labels = builder.input(LABELS, DType.I32, 0);
        builder.softmaxCrossEntropy("loss", network.graph().outputs().get(Network.LOGITS), labels);
        return builder.build();
    }

    @Override
    public double run() {
        plan.step();
        return plan.loss();
    }

    /** Of the last step; see {@link Plan#hostSeconds}. */
    double hostSeconds() {
        return plan.hostSeconds();
    }

    /** A step on pictures of the caller's. */
    void run(Batch pictures) {
        plan.input(Network.PIXELS).write(pictures.pixels());
        plan.input(LABELS).write(pictures.labels());
        plan.rows(pictures.validRows(), null, pictures.sampleIds());
        plan.step();
    }

    /** Elements of the network's parameters and of those that train, for comparison with the peers'. */
    Map<String, String> sizes() {
        return Map.of("parameters", String.valueOf(parameters), "trainable", String.valueOf(trainable));
    }

    /** What {@link Device#describe} says of the device with everything on it. */
    String device() {
        return device.describe();
    }

    int batch() {
        return batch;
    }

    @Override
    public void close() {
        device.close();
    }
}
