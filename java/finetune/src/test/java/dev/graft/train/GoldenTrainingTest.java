package dev.graft.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.graft.golden.GoldenFile;
import dev.graft.golden.WeightFormula;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Ten steps as PyTorch does them in F64: losses, first gradients and what the weights have become. */
class GoldenTrainingTest {
    /** Largest error over largest magnitude that is allowed where PyTorch's own F32 run is closer than half of it. */
    private static final double TOLERANCE = 1e-4;
    private static final int ENTRIES = 64;

    static List<String> fixtures() {
        List<String> names = new ArrayList<>();
        for (String model : List.of("cifar_resnet20", "squeezenet1_1", "resnet18", "resnet50", "vit_cifar", "vit_tiny_patch16_224")) {
            for (String strategy : List.of("full", "head", "partial")) {
                for (String optimizer : List.of("sgd", "adamw")) {
                    names.add(model + "_" + strategy + "_" + optimizer);
                }
            }
        }
        names.addAll(List.of("cifar_resnet20_lora_sgd", "vit_cifar_lora_sgd", "vit_cifar_lora_adamw"));
        return names;
    }

    static List<String> quickFixtures() {
        return fixtures().stream().filter(name -> name.startsWith("cifar_resnet20")).toList();
    }

    @ParameterizedTest
    @MethodSource("fixtures")
    void cpuColumnTrainsAsPyTorch(String fixture) {
        compare(fixture, "cpu");
    }

    @ParameterizedTest
    @MethodSource("quickFixtures")
    void referenceColumnTrainsAsPyTorch(String fixture) {
        compare(fixture, "reference");
    }

    private static void compare(String fixture, String column) {
        GoldenFile golden = GoldenFile.open("training/" + fixture);
        GoldenRun run = new GoldenRun(golden, column);
        List<String> wrong = new ArrayList<>();
        double[] expected = golden.values("losses64");
        double losses = error(expected, run.losses);
        note(wrong, "losses", losses, golden.json("err32").doubleValue());

        List<String> parameters = names(golden.json("parameters"));
        assertEquals(new TreeSet<>(parameters), new TreeSet<>(run.gradients.keySet()), "tensors with a gradient");
        double[] norms = parameters.stream().mapToDouble(name -> norm(run.gradients.get(name))).toArray();
        double gradientNorms = error(golden.values("gradient_norms64"), norms);
        note(wrong, "gradient norms", gradientNorms, error(golden.values("gradient_norms64"), golden.values("gradient_norms32")));
        double gradients = entries(golden, "gradient", parameters, run.gradients, wrong);

        List<String> moved = names(golden.json("finals"));
        assertEquals(new TreeSet<>(moved), new TreeSet<>(run.finals.keySet()), "tensors that change");
        double finals = entries(golden, "final", moved, run.finals, wrong);

        System.out.printf("%s on %s: losses %.1e, gradient norms %.1e, gradients %.1e, final weights %.1e%n", fixture, column, losses,
                gradientNorms, gradients, finals);
        assertTrue(wrong.isEmpty(), fixture + " on " + column + ": " + wrong + "; losses " + Arrays.toString(run.losses));
    }

    /** Compares sampled entries tensor by tensor; returns the largest error. */
    private static double entries(GoldenFile golden, String kind, List<String> names, Map<String, float[]> actual, List<String> wrong) {
        double[] err32 = golden.values(kind + "_err32");
        double largest = 0;
        for (int i = 0; i < names.size(); i++) {
            String name = names.get(i);
            float[] all = actual.get(name);
            double[] sampled = Arrays.stream(WeightFormula.sample(name, all.length, ENTRIES)).mapToDouble(k -> all[k]).toArray();
            double error = error(golden.values(kind + "/" + name), sampled);
            largest = Math.max(largest, error);
            note(wrong, kind + " " + name, error, err32[i]);
        }
        return largest;
    }

    private static void note(List<String> wrong, String what, double error, double err32) {
        double allowed = Math.max(TOLERANCE, 2 * err32);
        if (!(error <= allowed)) {
            wrong.add(String.format("%s off by %.2e, allowed %.2e", what, error, allowed));
        }
    }

    /** Largest error over largest magnitude. */
    private static double error(double[] expected, double[] actual) {
        assertEquals(expected.length, actual.length);
        double magnitude = 0;
        double error = 0;
        for (int i = 0; i < expected.length; i++) {
            magnitude = Math.max(magnitude, Math.abs(expected[i]));
            if (!Double.isFinite(actual[i])) {
                return Double.POSITIVE_INFINITY;
            }
            error = Math.max(error, Math.abs(actual[i] - expected[i]));
        }
        return error / Math.max(magnitude, Double.MIN_NORMAL);
    }

    private static double norm(float[] values) {
        double squares = 0;
        for (float value : values) {
            squares += (double) value * value;
        }
        return Math.sqrt(squares);
    }

    private static List<String> names(JsonNode list) {
        List<String> names = new ArrayList<>();
        list.forEach(name -> names.add(name.textValue()));
        return names;
    }
}
