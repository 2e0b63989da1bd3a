package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.graft.engine.Device;
import dev.graft.engine.Graph;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Origin;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Precision;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.tune.BatchNormPolicy;
import dev.graft.tune.RateRule;
import dev.graft.tune.Stage;
import dev.graft.tune.Strategy;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The CPU column has kernels of its own for all that the listed models do; the reference is for checking only. */
class KernelsTest {
    private static final int BATCH = 2;
    private static final int CLASSES = 10;
    private static final ObjectMapper JSON = new ObjectMapper();

    static List<String> models() {
        List<String> models = new ArrayList<>(Models.names());
        models.add("vit_cifar:avg");
        return models;
    }

    @ParameterizedTest
    @MethodSource("models")
    void noPlanOfAListedModelRunsAReferenceKernel(String model) throws IOException {
        // pictures of 64 pixels: which kernel runs depends on the operation and its attributes, not on the size
        Network network = Models.named(model).network(64, CLASSES);
        Set<String> slow = new TreeSet<>();
        int steps = 0;
        try (Device device = Device.open("cpu", 1, 1); Parameters parameters = device.parameters()) {
            parameters.declare(network.graph(), Origin.CHECKPOINT);
            network.graph().parameters().forEach(p -> parameters.write(p.name(), new float[(int) p.count()]));
            var dims = network.graph().dims(network.graph().outputs().get(Network.FEATURES).name());
            int channels = Math.toIntExact(dims.get(dims.size() - 1));
            Standardisation.declare(parameters, channels);
            parameters.write(Standardisation.SCALE, new float[channels]);
            parameters.write(Standardisation.SHIFT, new float[channels]);
            Graph graph = TrainingGraph.of(network.graph(), 0.1);
            Graph scaled = Standardisation.insert(graph, channels);
            for (Precision precision : Precision.values()) {
                steps += check(graph, parameters, training(network, "full", new Optimizer.Sgd(0.9, false), precision), slow);
                steps += check(scaled, parameters, training(network, "head", new Optimizer.AdamW(), precision), slow);
                steps += check(scaled, parameters, PlanOptions.eval(BATCH).precision(precision).build(), slow);
            }
        }
        assertTrue(steps > 100, "only " + steps + " steps");
        assertEquals(Set.of(), slow);
    }

    private static PlanOptions training(Network network, String strategy, Optimizer optimizer, Precision precision) {
        Stage stage = Stage.of(Strategy.parse(strategy), 0, network, BatchNormPolicy.AUTO, RateRule.EVEN, new Stage.Regularisation(1e-4, 0),
                List.of());
        PlanOptions.Builder b = PlanOptions.train(BATCH, optimizer).precision(precision).clip(true).watch(true);
        for (int g = 0; g < stage.groups().size(); g++) {
            for (String name : stage.groups().get(g).parameters()) {
                b.train(name, g);
            }
        }
        stage.tracked().forEach(b::track);
        return b.build();
    }

    /** Adds the steps that a reference kernel runs; returns the number of steps. */
    private static int check(Graph graph, Parameters parameters, PlanOptions options, Set<String> slow) throws IOException {
        try (Plan plan = Plan.compile(graph, parameters, options)) {
            JsonNode steps = JSON.readTree(plan.describe()).get("steps");
            List<String> kernels = new ArrayList<>();
            for (JsonNode step : steps) {
                String kernel = step.get("kernel").textValue();
                kernels.add(kernel);
                if (kernel.startsWith("reference:")) {
                    slow.add(options.precision() + " " + options.mode() + ": " + step.get("pass").textValue() + " of " + step.get("node").textValue()
                            + " runs " + kernel);
                }
            }
            return kernels.size();
        }
    }
}
