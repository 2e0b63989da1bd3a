package dev.graft.jmh;

import dev.graft.engine.DType;
import dev.graft.engine.Device;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Origin;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Value;
import dev.graft.pairs.Step;
import java.util.stream.IntStream;

/**
 * Mean cross-entropy of logits (4096, 32000) with their gradient written over them. A plan writes a gradient in place only
 * where something before it made the logits, so a linear layer with one input column makes them; what counts is the time of
 * the loss alone, by the plan's own clock around each kernel.
 */
final class SoftmaxCrossEntropyStep implements Step, AutoCloseable {
    static final int ROWS = 4096;
    static final int CLASSES = 32000;
    private static final String LOSS = "loss";

    private final Device device;
    private final Plan plan;
    private final KernelClock clock;
    private double counted;

    SoftmaxCrossEntropyStep(int threads) {
        device = Device.open("cpu", threads, 1);
        GraphBuilder builder = Graph.builder();
        Value x = builder.input("x", DType.F32, 0, 1);
        Value labels = builder.input("labels", DType.I32, 0);
        Value logits = builder.linear("logits", x, builder.parameter("logits.weight", CLASSES, 1), null);
        builder.softmaxCrossEntropy(LOSS, logits, labels);
        Graph graph = builder.build();
        Parameters parameters = device.parameters().declare(graph, Origin.HEAD);
        parameters.write("logits.weight", Filling.normal("logits.weight", CLASSES, 1));
        plan = Plan.compile(
                graph, parameters, PlanOptions.train(ROWS, new Optimizer.Sgd(0, false)).train("logits.weight").build());
        plan.input("x").write(Filling.normal("x", ROWS, 1));
        plan.input("labels").write(IntStream.range(0, ROWS).map(i -> (int) (i * 7919L % CLASSES)).toArray());
        plan.rows(ROWS);
        clock = new KernelClock(plan, LOSS);
    }

    @Override
    public double run() {
        counted = clock.run();
        return plan.loss();
    }

    @Override
    public double countedMilliseconds() {
        return counted;
    }

    @Override
    public void close() {
        device.close();
    }
}
