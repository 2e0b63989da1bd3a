package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.Device;
import dev.graft.engine.Graph;
import dev.graft.engine.Origin;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.engine.Philox;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.golden.WeightFormula;
import dev.graft.model.Models;
import dev.graft.model.Network;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Scaling features and folding the scales into the head are the same function. */
class StandardisationTest {
    private static final int BATCH = 2;
    private static final int SIZE = 64;
    /** Products of other factors: some roundings of F32. */
    private static final double ROUNDING = 1e-5;

    @ParameterizedTest
    @ValueSource(strings = {"resnet18", "cifar_resnet20", "squeezenet1_1", "mobilenet_v1_025", "mobilenet_v1_025_leaky"})
    void foldedHeadAnswersAsTheScaledFeaturesDid(String model) {
        Network network = Models.named(model).network(SIZE, 7, 0);
        try (Device device = Device.open("cpu", 1, 1); Parameters parameters = parameters(device, network, Origin.HEAD)) {
            Graph scaled = scaled(network, parameters);
            Standardisation.adapt(network, parameters);
            float[] expected = logits(scaled, parameters);
            Standardisation.fold(network, parameters);
            assertClose(expected, logits(network.graph(), parameters));
            assertClose(expected, logits(scaled, parameters));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"resnet18", "squeezenet1_1"})
    void keptHeadAnswersToScaledFeaturesAsToRawOnes(String model) {
        Network network = Models.named(model).network(SIZE, 7, 0);
        try (Device device = Device.open("cpu", 1, 1); Parameters parameters = parameters(device, network, Origin.CHECKPOINT)) {
            float[] expected = logits(network.graph(), parameters);
            Graph scaled = scaled(network, parameters);
            Standardisation.adapt(network, parameters);
            assertClose(expected, logits(scaled, parameters));
            Standardisation.fold(network, parameters);
            assertClose(expected, logits(network.graph(), parameters));
        }
    }

    @Test
    void scaleAndShiftMakeMeanZeroAndDeviationOne() {
        try (Device device = Device.open("cpu", 1, 1); Parameters parameters = device.parameters()) {
            Standardisation.declare(parameters, 3);
            Standardisation statistics = new Standardisation(3);
            // channels: 1, 3, 5, 7; 100 + the same; 4 always
            statistics.add(new float[] {1, 101, 4, 3, 103, 4});
            statistics.add(new float[] {5, 105, 4, 7, 107, 4});
            statistics.write(parameters);
            float[] scale = parameters.read(Standardisation.SCALE);
            float[] shift = parameters.read(Standardisation.SHIFT);
            double deviation = Math.sqrt(5);
            float[] wantedScale = {(float) (1 / deviation), (float) (1 / deviation), 1};
            float[] wantedShift = {(float) (-4 / deviation), (float) (-104 / deviation), -4};
            for (int c = 0; c < 3; c++) {
                assertEquals(wantedScale[c], scale[c], 1e-6 * wantedScale[c], "scale of channel " + c);
                assertEquals(wantedShift[c], shift[c], -1e-6 * wantedShift[c], "shift of channel " + c);
            }
        }
    }

    private static Parameters parameters(Device device, Network network, Origin head) {
        Parameters parameters = device.parameters();
        for (Param p : network.graph().parameters()) {
            parameters.declare(p.name(), p.dims(), p.buffer(), network.head().parameters().contains(p.name()) ? head : Origin.CHECKPOINT);
            parameters.write(p.name(), network.starts().get(p.name()).values(5, p.name(), (int) p.count()));
        }
        return parameters;
    }

    private static Graph scaled(Network network, Parameters parameters) {
        var dims = network.graph().dims(network.graph().outputs().get(Network.FEATURES).name());
        int channels = Math.toIntExact(dims.get(dims.size() - 1));
        Standardisation.declare(parameters, channels);
        float[] scale = new float[channels];
        float[] shift = new float[channels];
        for (int c = 0; c < channels; c++) {
            scale[c] = 0.5f + 4 * Philox.uniform(1, 0, 0, c);
            shift[c] = 2 * Philox.uniform(2, 0, 0, c) - 1;
        }
        parameters.write(Standardisation.SCALE, scale);
        parameters.write(Standardisation.SHIFT, shift);
        return Standardisation.insert(network.graph(), channels);
    }

    private static float[] logits(Graph graph, Parameters parameters) {
        try (Plan plan = Plan.compile(graph, parameters, PlanOptions.eval(BATCH).build())) {
            plan.input(Network.PIXELS).write(WeightFormula.pixels(BATCH, SIZE, 1, 0));
            plan.forward();
            return plan.read(Network.LOGITS);
        }
    }

    private static void assertClose(float[] expected, float[] actual) {
        double magnitude = 0;
        double error = 0;
        for (int i = 0; i < expected.length; i++) {
            magnitude = Math.max(magnitude, Math.abs(expected[i]));
            error = Math.max(error, Math.abs((double) actual[i] - expected[i]));
        }
        assertTrue(magnitude > 0 && error <= ROUNDING * magnitude, "off by " + error + " of " + magnitude);
    }
}
