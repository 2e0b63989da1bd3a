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
import java.nio.FloatBuffer;

/**
 * One AdamW update of 100 matrices of a million F32 elements: the update phase of a plan, with the gradients that one
 * backward pass of 100 linear layers has left.
 */
final class AdamWStep implements Step, AutoCloseable {
    private static final int TENSORS = 100;
    private static final int SIDE = 1000;

    private final Device device;
    private final Plan plan;

    AdamWStep(int threads) {
        device = Device.open("cpu", threads, 1);
        GraphBuilder builder = Graph.builder();
        Value x = builder.input("x", DType.F32, 0, SIDE);
        Value target = builder.input("target", DType.F32, 0, SIDE);
        Value sum = null;
        for (int i = 0; i < TENSORS; i++) {
            Value y = builder.linear("layer" + i, x, builder.parameter(name(i), SIDE, SIDE), null);
            sum = sum == null ? y : builder.add("sum" + i, sum, y);
        }
        builder.mse("loss", sum, target);
        Graph graph = builder.build();
        Parameters parameters = device.parameters().declare(graph, Origin.HEAD);
        FloatBuffer weight = Filling.normal("weight", SIDE * SIDE, 0.01);
        PlanOptions.Builder options = PlanOptions.train(1, new Optimizer.AdamW());
        for (int i = 0; i < TENSORS; i++) {
            parameters.write(name(i), weight);
            options.train(name(i));
        }
        plan = Plan.compile(graph, parameters, options.build());
        plan.input("x").write(Filling.normal("x", SIDE, 1));
        plan.input("target").write(Filling.normal("target", SIDE, 1));
        plan.rows(1);
        plan.rate(0, 1e-3);
        plan.decay(0, 0.01);
        plan.gradients();
    }

    @Override
    public double run() {
        plan.update();
        return 0;
    }

    @Override
    public void close() {
        device.close();
    }

    private static String name(int i) {
        return "layer" + i + ".weight";
    }
}
