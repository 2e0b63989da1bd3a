package dev.graft.jmh;

import dev.graft.engine.DType;
import dev.graft.engine.Device;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.LowRank;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Origin;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Precision;
import dev.graft.engine.Value;
import dev.graft.pairs.Step;
import java.util.stream.IntStream;

/**
 * Forward and backward of a linear layer 768 to 768 whose weight is frozen, alone or with low-rank updates of rank 8: gradients
 * of x and of what the updates train. A plan makes x and the gradient of the result by layers around it; what counts is the time
 * of the layer alone, by the plan's own clock around each kernel.
 */
final class LinearStep implements Step, AutoCloseable {
    private static final int WIDTH = 768;
    private static final int RANK = 8;
    private static final double FACTOR = 2;

    private final Device device;
    private final Plan plan;
    private final KernelClock clock;
    private double counted;

    /**
     * @param samples samples of {@code rows} rows each
     * @param adapters how many updates there are: none, one, or several, of which sample i has number {@code i mod adapters}
     */
    LinearStep(int samples, int rows, int adapters, Precision precision, int threads) {
        device = Device.open("cpu", threads, 1);
        GraphBuilder g = Graph.builder();
        Value in = g.input("in", DType.F32, 0, rows, 1);
        Value target = g.input("target", DType.F32, 0, rows, WIDTH);
        Value x = g.linear("x", in, g.parameter("x.weight", WIDTH, 1), null);
        Value weight = g.parameter("y.weight", WIDTH, WIDTH);
        Value bias = g.parameter("y.bias", WIDTH);
        g.mse("loss", layer(g, x, weight, bias, adapters), target);
        Graph graph = g.build();
        Parameters parameters = device.parameters().declare(graph, Origin.HEAD);
        PlanOptions.Builder options = PlanOptions.train(samples, new Optimizer.Sgd(0, false)).precision(precision);
        for (Param p : graph.parameters()) {
            parameters.write(p.name(), Filling.normal(p.name(), p.count(), 0.03));
            if (!p.name().startsWith("y.")) {
                options.train(p.name());
            }
        }
        plan = Plan.compile(graph, parameters, options.build());
        plan.input("in").write(Filling.normal("in", (long) samples * rows, 1));
        plan.input("target").write(Filling.normal("target", (long) samples * rows * WIDTH, 1));
        if (adapters > 1) {
            plan.input("adapter").write(IntStream.range(0, samples).map(i -> i % adapters).toArray());
        }
        plan.rows(samples);
        clock = new KernelClock(plan, "y");
    }

    private static Value layer(GraphBuilder g, Value x, Value weight, Value bias, int adapters) {
        if (adapters == 0) {
            return g.linear("y", x, weight, bias);
        }
        if (adapters == 1) {
            return g.loraLinear("y", x, weight, bias, g.parameter("a", RANK, WIDTH), g.parameter("b", WIDTH, RANK), FACTOR);
        }
        LowRank updates = LowRank.of(FACTOR).adapters(g.input("adapter", DType.I32, 0), null);
        return g.loraLinear("y", x, weight, bias, g.parameter("a", adapters, RANK, WIDTH),
                g.parameter("b", adapters, WIDTH, RANK), updates);
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
