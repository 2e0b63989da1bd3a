package dev.graft.engine;

/**
 * The smallest network that can break: x [N, 5] -> fc1 [7] -> relu -> fc2 [3] -> softmax cross-entropy, with seeded weights
 * and a batch that it can learn by heart.
 */
final class Mlp {
    static final int IN = 5;
    static final int HIDDEN = 7;
    static final int CLASSES = 3;
    static final long SEED = 20260101;
    static final String[] ALL = {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"};

    private Mlp() {}

    static Graph graph() {
        return graph(0);
    }

    static Graph graph(double dropout) {
        GraphBuilder g = Graph.builder();
        Value x = g.input("x", DType.F32, 0, IN);
        Value label = g.input("label", DType.I32, 0);
        Value h = g.linear("fc1", x, g.parameter("fc1.weight", HIDDEN, IN), g.parameter("fc1.bias", HIDDEN));
        h = g.relu("relu", h);
        if (dropout > 0) {
            h = g.dropout("dropout", h, dropout);
        }
        Value logits = g.linear("fc2", h, g.parameter("fc2.weight", CLASSES, HIDDEN), g.parameter("fc2.bias", CLASSES));
        g.softmaxCrossEntropy("loss", logits, label);
        return g.output("logits", logits).build();
    }

    /** The forward part alone, as a predictor would have it. */
    static Graph predictor() {
        return graph().prefix("fc2");
    }

    static Parameters parameters(Device device, Graph graph) {
        Parameters parameters = device.parameters().declare(graph, Origin.HEAD);
        for (Parameters.Declared d : parameters.declarations()) {
            parameters.write(d.name(), normal(d.name(), (int) d.count(), 0.5f));
        }
        return parameters;
    }

    static float[] normal(String name, int count, float deviation) {
        long key = Philox.key(SEED, name);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = deviation * Philox.normal(key, 0, 0, i);
        }
        return values;
    }

    static float[] x(int rows) {
        return normal("x", rows * IN, 1);
    }

    static int[] labels(int rows) {
        int[] labels = new int[rows];
        for (int i = 0; i < rows; i++) {
            labels[i] = Philox.below(CLASSES, Philox.key(SEED, "label"), i, 0, 0);
        }
        return labels;
    }

    static PlanOptions.Builder sgd(int batch, String... trained) {
        return PlanOptions.train(batch, new Optimizer.Sgd(0.9, false)).train(trained);
    }

    static Plan plan(Parameters parameters, Graph graph, PlanOptions options) {
        Plan plan = Plan.compile(graph, parameters, options);
        feed(plan, options.batch());
        plan.rate(0, 0.1);
        return plan;
    }

    static void feed(Session session, int rows) {
        session.input("x").write(x(rows));
        session.input("label").write(labels(rows));
    }
}
