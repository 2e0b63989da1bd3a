package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.graft.engine.Device;
import dev.graft.engine.Origin;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.golden.WeightFormula;
import dev.graft.model.Network;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The loss behind a network's logits is the cross-entropy with smoothed targets (Szegedy et al. 2016). */
class TrainingGraphTest {
    private static final int BATCH = 4;

    @ParameterizedTest
    @ValueSource(doubles = {0, 0.1, 0.9})
    void lossIsTheCrossEntropyWithSmoothedTargets(double smoothing) {
        Network network = TinyTask.network(0);
        int[] targets = {2, 0, 1, 2};
        try (Device device = Device.open("cpu", 1, 1); Parameters parameters = device.parameters()) {
            parameters.declare(network.graph(), Origin.HEAD);
            network.graph().parameters().forEach(p ->
                    parameters.write(p.name(), network.starts().get(p.name()).values(1, p.name(), (int) p.count())));
            String head = network.graph().outputs().get(Network.LOGITS).name();
            Plan plan = Plan.compile(TrainingGraph.of(network.graph(), smoothing), parameters, PlanOptions.eval(BATCH).keep(head).build());
            plan.input(Network.PIXELS).write(WeightFormula.pixels(BATCH, network.imageSize(), 4, 0));
            plan.input(TrainingGraph.TARGET).write(targets);
            plan.forward();
            float[] logits = plan.read(head);
            double expected = 0;
            int classes = network.classes();
            for (int row = 0; row < BATCH; row++) {
                double sum = 0;
                for (int c = 0; c < classes; c++) {
                    sum += Math.exp(logits[row * classes + c]);
                }
                for (int c = 0; c < classes; c++) {
                    double target = smoothing / classes + (c == targets[row] ? 1 - smoothing : 0);
                    expected -= target * (logits[row * classes + c] - Math.log(sum)) / BATCH;
                }
            }
            // one row's loss is some roundings of F32 away
            assertEquals(expected, plan.loss(), 1e-6 * expected);
        }
    }
}
