package dev.graft.train;

import com.fasterxml.jackson.databind.JsonNode;
import dev.graft.engine.Device;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Origin;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.golden.DataFolder;
import dev.graft.golden.GoldenFile;
import dev.graft.golden.WeightFormula;
import dev.graft.model.Checkpoint;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.tune.BatchNormPolicy;
import dev.graft.tune.Method;
import dev.graft.tune.RateRule;
import dev.graft.tune.Stage;
import dev.graft.tune.Strategy;
import dev.graft.weights.Layout;
import dev.graft.weights.WeightFile;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A training run of a fixture done again by the engine: ten steps over two batches in turn, nothing standardised. */
final class GoldenRun {
    private static final Map<String, String> PARTIAL = Map.of("cifar_resnet20", "partial:from=layer3",
            "squeezenet1_1", "partial:from=features.9", "resnet18", "partial:from=layer4", "resnet50", "partial:from=layer4",
            "vit_cifar", "partial:from=blocks.4", "vit_tiny_patch16_224", "partial:from=blocks.10");

    /** The losses. */
    final double[] losses;
    /** Gradients of the first step in PyTorch's order of axes. */
    final Map<String, float[]> gradients = new LinkedHashMap<>();
    /** What was trained or tracked, after the last step, in PyTorch's order. */
    final Map<String, float[]> finals = new LinkedHashMap<>();

    private final Network network;

    GoldenRun(GoldenFile golden, String column) {
        int size = golden.json("size").intValue();
        int batch = golden.json("batch").intValue();
        int steps = golden.json("steps").intValue();
        int visit = golden.json("visit").intValue();
        JsonNode options = golden.json("options");
        String model = golden.text("model");
        String strategy = golden.text("strategy");
        Method method = Strategy.parse(strategy.equals("partial") ? PARTIAL.get(model) : strategy);
        network = method.rewrite(Models.named(model).network(size, golden.json("classes").intValue(), 0));
        losses = new double[steps];
        Stage stage = Stage.of(method, 0, network,
                BatchNormPolicy.AUTO, RateRule.EVEN, new Stage.Regularisation(options.get("decay").doubleValue(), 0), List.of());
        float[] pixels = WeightFormula.pixels(2 * batch, size, golden.json("scale").doubleValue(), visit);
        int[] labels = WeightFormula.labels(2 * batch, network.classes(), visit);
        try (Device device = Device.open(column, 1, 1); Parameters parameters = device.parameters()) {
            WeightFile file = load(golden.text("checkpoint"), parameters);
            try (file) {
                PlanOptions.Builder b = PlanOptions.train(batch, optimizer(golden.text("optimizer"), options));
                for (int g = 0; g < stage.groups().size(); g++) {
                    for (String name : stage.groups().get(g).parameters()) {
                        b.train(name, g);
                    }
                }
                stage.tracked().forEach(b::track);
                Plan plan = Plan.compile(TrainingGraph.of(network.graph(), 0), parameters, b.build());
                for (int g = 0; g < stage.groups().size(); g++) {
                    plan.rate(g, options.get("rate").doubleValue() * stage.groups().get(g).rate());
                    plan.decay(g, stage.groups().get(g).decay());
                }
                for (int step = 0; step < steps; step++) {
                    int first = step % 2 * batch;
                    plan.input(Network.PIXELS).write(Arrays.copyOfRange(pixels, first * size * size * 3, (first + batch) * size * size * 3));
                    plan.input(TrainingGraph.TARGET).write(Arrays.copyOfRange(labels, first, first + batch));
                    plan.gradients();
                    if (step == 0) {
                        stage.trainable().forEach(name -> gradients.put(name, torchOrder(name, plan.gradient(name))));
                    }
                    plan.update();
                    losses[step] = plan.loss();
                }
                stage.live().forEach(name -> finals.put(name, torchOrder(name, parameters.read(name))));
            }
        }
    }

    private WeightFile load(String checkpoint, Parameters parameters) {
        if (checkpoint.equals("formula")) {
            parameters.declare(network.graph(), Origin.CHECKPOINT);
            network.graph().parameters().forEach(p -> parameters.write(p.name(), WeightFormula.tensor(p)));
            return null;
        }
        WeightFile file = WeightFile.open(DataFolder.weights(checkpoint));
        List<String> other = new ArrayList<>();
        for (Param p : network.graph().parameters()) {
            if (!file.contains(p.name()) || !Arrays.equals(file.tensor(p.name()).dims(), Checkpoint.torchDims(p))) {
                other.add(p.name());
            }
        }
        Checkpoint.load(network, file, other, 0, parameters);
        other.forEach(name -> parameters.write(name, WeightFormula.tensor((Param) network.graph().entry(name))));
        return file;
    }

    private static Optimizer optimizer(String kind, JsonNode options) {
        return kind.equals("sgd") ? new Optimizer.Sgd(options.get("momentum").doubleValue(), false)
                : new Optimizer.AdamW(options.get("beta1").doubleValue(), options.get("beta2").doubleValue(), options.get("epsilon").doubleValue());
    }

    private float[] torchOrder(String name, float[] values) {
        List<Long> dims = ((Param) network.graph().entry(name)).dims();
        return dims.size() == 4 ? Layout.fromEngine(values, dims.stream().mapToLong(Long::longValue).toArray()) : values;
    }
}
