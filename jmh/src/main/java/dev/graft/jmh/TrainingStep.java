package dev.graft.jmh;

import dev.graft.data.Batch;
import dev.graft.engine.DType;
import dev.graft.engine.Device;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Precision;
import dev.graft.engine.Value;
import dev.graft.model.Checkpoint;
import dev.graft.model.Network;
import dev.graft.pairs.Step;
import dev.graft.tune.BatchNormPolicy;
import dev.graft.tune.Method;
import dev.graft.tune.RateRule;
import dev.graft.tune.Stage;
import dev.graft.tune.Strategy;
import dev.graft.weights.WeightFile;
import java.util.List;
import java.util.stream.IntStream;

/**
 * A training step of a published network on one fixed batch, as the peers take it: SGD with momentum 0.9 and rate 0.002,
 * normal pictures, label {@code 31 i mod classes} for row i.
 */
final class TrainingStep implements Step, AutoCloseable {
    private static final String LABELS = "labels";

    private final Device device;
    private final Plan plan;
    private final Network network;
    private final int batch;

    /** @param strategy as the command takes it: {@code full}, {@code head}, {@code partial:from=layer4} */
    TrainingStep(String model, String strategy, Precision precision, int batch, int threads) {
        this.batch = batch;
        network = StartFile.published(model);
        device = Device.open("cpu", threads, 1);
        Parameters parameters = device.parameters();
        try (WeightFile file = WeightFile.open(StartFile.of(network))) {
            Checkpoint.load(network, file, List.of(), 0, parameters);
        }
        Method method = Strategy.parse(strategy);
        Stage stage = Stage.of(method, 0, network, BatchNormPolicy.AUTO, RateRule.EVEN, new Stage.Regularisation(0, 0), List.of());
        PlanOptions.Builder options = PlanOptions.train(batch, new Optimizer.Sgd(0.9, false)).precision(precision);
        stage.trainable().forEach(name -> options.train(name, 0));
        stage.tracked().forEach(options::track);
        plan = Plan.compile(withLoss(network), parameters, options.build());
        plan.rate(0, 0.002);
        int side = network.imageSize();
        plan.input(Network.PIXELS).write(Filling.normal("pixels", (long) batch * side * side * 3, 1));
        plan.input(LABELS).write(IntStream.range(0, batch).map(i -> i * 31 % network.classes()).toArray());
        plan.rows(batch);
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

    /** A step on pictures of the caller's. */
    void run(Batch pictures) {
        plan.input(Network.PIXELS).write(pictures.pixels());
        plan.input(LABELS).write(pictures.labels());
        plan.rows(pictures.validRows(), null, pictures.sampleIds());
        plan.step();
    }

    int batch() {
        return batch;
    }

    @Override
    public void close() {
        device.close();
    }
}
