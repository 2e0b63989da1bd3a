package dev.graft.jmh;

import dev.graft.engine.Device;
import dev.graft.engine.Graph;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Origin;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Precision;
import dev.graft.pairs.Step;
import java.util.stream.IntStream;

/**
 * A training step of ResNet-18 on one fixed batch, the same that the peers take: SGD with momentum 0.9, rate 0.002, normal
 * images, label {@code 31 i mod 1000} for image i.
 */
final class ResNetStep implements Step, AutoCloseable {
    private final Device device;
    private final Plan plan;

    ResNetStep(Strategy strategy, Precision precision, int batch, int threads) {
        device = Device.open("cpu", threads, 1);
        Graph graph = ResNet18.graph();
        Parameters parameters = device.parameters().declare(graph, Origin.CHECKPOINT);
        Filling.initialize(parameters);
        PlanOptions.Builder options =
                PlanOptions.train(batch, new Optimizer.Sgd(0.9, false)).precision(precision);
        for (Parameters.Declared declared : parameters.declarations()) {
            if (strategy.trains(declared.name())) {
                if (declared.buffer()) {
                    options.track(declared.name());
                } else {
                    options.train(declared.name());
                }
            }
        }
        plan = Plan.compile(graph, parameters, options.build());
        plan.rate(0, 0.002);
        plan.input("images").write(Filling.normal("images", (long) batch * ResNet18.SIZE * ResNet18.SIZE * 3, 1));
        plan.input("labels").write(IntStream.range(0, batch).map(i -> i * 31 % ResNet18.CLASSES).toArray());
        plan.rows(batch);
    }

    @Override
    public double run() {
        plan.step();
        return plan.loss();
    }

    Plan plan() {
        return plan;
    }

    @Override
    public void close() {
        device.close();
    }
}
