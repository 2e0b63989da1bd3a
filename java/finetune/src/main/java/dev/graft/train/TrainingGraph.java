package dev.graft.train;

import dev.graft.engine.DType;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Value;
import dev.graft.model.Network;

/**
 * A network's graph with targets and the loss behind its logits. These are no output: training reads the loss and the rows that are
 * right, and a plan need not hold the logits of many classes at once.
 */
final class TrainingGraph {
    static final String TARGET = "target";
    static final String LOSS = "loss";

    private TrainingGraph() {
    }

    static Graph of(Graph network, double labelSmoothing) {
        GraphBuilder b = Graph.builder();
        network.entries().forEach(b::add);
        network.outputs().forEach((name, value) -> {
            if (!name.equals(Network.LOGITS)) {
                b.output(name, value);
            }
        });
        Value target = b.input(TARGET, DType.I32, 0);
        b.softmaxCrossEntropy(LOSS, network.outputs().get(Network.LOGITS), target, null, labelSmoothing, -100);
        return b.build();
    }
}
