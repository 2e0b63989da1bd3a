package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.Device;
import dev.graft.engine.Origin;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.golden.WeightFormula;
import dev.graft.model.Checkpoint;
import dev.graft.model.LowRankLayer;
import dev.graft.model.LowRankMerge;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.tune.LowRankAdaptation;
import dev.graft.tune.Strategy;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Laws of low-rank adapters on the published networks, with weights of the formula. */
class LowRankTrainingTest {
    private static final int BATCH = 3;
    /** Sums of the low-rank branch in another order, of logits of which the largest are of order 1. */
    private static final double MERGED = 1e-5;

    private static Parameters formula(Network network, Device device) {
        Parameters parameters = device.parameters().declare(network.graph(), Origin.CHECKPOINT);
        network.graph().parameters().forEach(p -> parameters.write(p.name(), WeightFormula.tensor(p)));
        return parameters;
    }

    private static float[] logits(Network network, Parameters parameters, boolean fold) {
        try (Plan plan = Plan.compile(network.graph(), parameters, PlanOptions.eval(BATCH).fold(fold).build())) {
            plan.input(Network.PIXELS).write(WeightFormula.pixels(BATCH, network.imageSize(), 1, 0));
            plan.forward();
            float[] logits = new float[BATCH * network.classes()];
            plan.output(Network.LOGITS).read(logits);
            return logits;
        }
    }

    private static double difference(float[] a, float[] b) {
        double largest = 0;
        double magnitude = 0;
        for (int i = 0; i < a.length; i++) {
            largest = Math.max(largest, Math.abs(a[i] - b[i]));
            magnitude = Math.max(magnitude, Math.abs(a[i]));
        }
        return largest / magnitude;
    }

    // Norms are folded into convolutions, which rounds otherwise, unless an adapter stands between the two.
    @ParameterizedTest
    @CsvSource({"resnet18, 64, '*', cpu", "resnet50, 64, layer2+layer4, cpu", "cifar_resnet20, 32, '*', cpu", "squeezenet1_1, 64, '*', cpu",
        "vit_cifar, 32, '*', cpu", "vit_cifar:avg, 32, *.qkv[q+v], cpu", "vit_tiny_patch16_224, 48, *.qkv[k]+*.fc1, cpu",
        "cifar_resnet20, 32, '*', reference", "vit_cifar, 32, '*', reference", "vit_cifar:avg, 32, *.qkv[q+v], reference"})
    void adapterChangesNoBitOfTheAnswersAtItsStart(String model, int size, String targets, String column) {
        Network network = Models.named(model).network(size, 10, 0);
        try (Device device = Device.open(column, 2, 1)) {
            Parameters parameters = formula(network, device);
            Network adapted = Strategy.parse("lora:r=4,targets=" + targets).rewrite(network);
            Checkpoint.add(adapted, 1, parameters);
            assertArrayEquals(logits(network, parameters, false), logits(adapted, parameters, false));
            assertEquals(0, difference(logits(network, parameters, true), logits(adapted, parameters, true)), MERGED, "with folded norms");
        }
    }

    @ParameterizedTest
    @CsvSource({"resnet18, 64, '*'", "resnet50, 64, layer2+layer4", "cifar_resnet20, 32, '*'", "squeezenet1_1, 64, '*'",
        "vit_cifar, 32, '*'", "vit_cifar:avg, 32, *.qkv[q+v]", "vit_tiny_patch16_224, 48, *.qkv[k]+*.fc1"})
    void mergedAnswersAsUnmergedAndUnmergedAsBefore(String model, int size, String targets) {
        Network network = Models.named(model).network(size, 10, 0);
        LowRankAdaptation method = (LowRankAdaptation) Strategy.parse("lora:r=4,alpha=2,targets=" + targets);
        try (Device device = Device.open("cpu", 2, 1)) {
            Parameters parameters = formula(network, device);
            Network adapted = method.rewrite(network);
            Checkpoint.add(adapted, 1, parameters);
            for (Param p : adapted.graph().parameters()) {
                if (p.name().endsWith(".lora_B.weight")) {
                    float[] b = WeightFormula.tensor(p);
                    for (int i = 0; i < b.length; i++) {
                        b[i] *= 0.1f;
                    }
                    parameters.write(p.name(), b);
                }
            }
            float[] base = logits(network, parameters, true);
            float[] unmerged = logits(adapted, parameters, true);
            assertTrue(difference(base, unmerged) > 100 * MERGED, "the adapter answers otherwise than the base");
            for (LowRankLayer layer : method.layers(network)) {
                String name = layer.module() + ".weight";
                float[] before = parameters.read(name);
                double change = LowRankMerge.into(layer, null, parameters, 1);
                float[] weight = parameters.read(name);
                // the change is exact, the weights are rounded
                assertEquals(change, largestChange(before, weight), 1e-6, "largest change of " + layer.module());
                assertTrue(change > 0);
                LowRankMerge.into(layer, null, parameters, -1);
                // one rounding of the merged weight and one of the result
                assertEquals(0, difference(before, parameters.read(name)), 4 * Math.ulp(1f), layer.module() + " after unmerging");
                parameters.write(name, weight);
            }
            float[] merged = logits(network, parameters, true);
            double drift = difference(unmerged, merged);
            System.out.printf("%s: merged differs from unmerged by %.1e of the largest logit%n", model, drift);
            assertTrue(drift <= MERGED, "merged differs from unmerged by " + drift);
        }
    }

    private static double largestChange(float[] before, float[] after) {
        double largest = 0;
        for (int i = 0; i < before.length; i++) {
            largest = Math.max(largest, Math.abs((double) after[i] - before[i]));
        }
        return largest;
    }
}
