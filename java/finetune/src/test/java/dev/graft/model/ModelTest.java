package dev.graft.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.Device;
import dev.graft.engine.Origin;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.golden.DataFolder;
import dev.graft.golden.GoldenFile;
import dev.graft.golden.WeightFormula;
import dev.graft.weights.LoadReport;
import dev.graft.weights.WeightFile;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class ModelTest {
    private static final int THREADS = 2;
    /** Error of a logit over the largest one that is allowed where PyTorch's own F32 run is closer than half of it. */
    private static final double TOLERANCE = 1e-4;

    static List<String> names() {
        return Models.names();
    }

    static Stream<String> goldens() {
        return Stream.concat(Models.names().stream(), Stream.of("resnet18_224", "squeezenet1_1_227", "mobilenet_v1_025_224",
                "vit_tiny_patch16_224_224", "deit_small_patch16_224_224", "vit_tiny_patch16_224_avg", "vit_cifar_avg"));
    }

    @ParameterizedTest
    @MethodSource("goldens")
    void logitsEqualPyTorchs(String fixture) {
        GoldenFile golden = GoldenFile.open("logits/" + fixture);
        int size = golden.json("size").intValue();
        int batch = golden.json("batch").intValue();
        Network network = Models.named(golden.text("model")).network(size, golden.json("classes").intValue());
        double[] expected = golden.values("logits64");
        float[] actual = new float[expected.length];
        try (Device device = Device.open("cpu", THREADS, 1)) {
            Parameters parameters = device.parameters().declare(network.graph(), Origin.CHECKPOINT);
            for (Param p : network.graph().parameters()) {
                parameters.write(p.name(), WeightFormula.tensor(p));
            }
            Plan plan = Plan.compile(network.graph(), parameters, PlanOptions.eval(batch).build());
            plan.input(Network.PIXELS).write(WeightFormula.pixels(batch, size, golden.json("scale").doubleValue(), 0));
            plan.forward();
            plan.output(Network.LOGITS).read(actual);
        }
        double largest = 0;
        double error = 0;
        int worst = 0;
        for (int i = 0; i < expected.length; i++) {
            largest = Math.max(largest, Math.abs(expected[i]));
            double difference = Math.abs(actual[i] - expected[i]);
            if (!(difference <= error)) {
                error = difference;
                worst = i;
            }
        }
        double allowed = Math.max(TOLERANCE, 2 * golden.json("err32").doubleValue());
        assertTrue(error / largest <= allowed, fixture + ": logit " + worst + " is " + actual[worst] + ", PyTorch has "
                + expected[worst] + "; relative to " + largest + " that is " + error / largest + ", allowed " + allowed);
    }

    @ParameterizedTest
    @MethodSource("names")
    void newHeadHasTheFormAndNamesOfTheOld(String name) {
        Architecture architecture = Models.named(name);
        Network own = architecture.network(architecture.imageSize(), architecture.classes());
        Network other = architecture.network(architecture.imageSize(), 7);
        assertEquals(own.groups(), other.groups());
        assertEquals(own.graph().nodes().size(), other.graph().nodes().size());
        List<String> changed = new ArrayList<>();
        for (Param p : own.graph().parameters()) {
            List<Long> now = ((Param) other.graph().entry(p.name())).dims();
            if (!now.equals(p.dims())) {
                changed.add(p.name());
                assertEquals(7, now.get(0), p.name());
                assertEquals(p.dims().subList(1, p.dims().size()), now.subList(1, now.size()), p.name());
            }
        }
        assertEquals(own.head().parameters(), changed);
    }

    @ParameterizedTest
    @MethodSource("names")
    void groupsRunFromStemToHead(String name) {
        Architecture architecture = Models.named(name);
        Network network = architecture.network(architecture.imageSize(), 10);
        assertEquals("stem", network.groups().get(0).name());
        assertEquals("head", network.head().name());
        assertTrue(network.groups().size() >= 5, network.groups().toString());
        List<String> inGroups = network.groups().stream().flatMap(g -> g.parameters().stream()).toList();
        assertEquals(network.graph().parameters().stream().map(Param::name).toList(), inGroups);
        assertEquals(architecture.imageSize(), architecture.card().crop());
    }

    @ParameterizedTest
    @CsvSource({"cifar_resnet20, cifar_resnet20-12fca82f.th", "cifar_resnet56, cifar_resnet56-4bfd9763.th",
        "squeezenet1_1, squeezenet1_1_caffe.pth", "squeezenet1_1, squeezenet1_1_caffe_fp16.safetensors",
        "mobilenet_v1_025, mobilenet_v1_0.25_224_keras.safetensors", "mobilenet_v1_025_leaky, mobilenetV1X0.25_pretrain.tar"})
    void publishedFilesFitExactly(String name, String file) {
        Architecture architecture = Models.named(name);
        Network network = architecture.network(architecture.imageSize(), architecture.classes());
        try (WeightFile weights = WeightFile.open(DataFolder.weights(file))) {
            LoadReport report = LoadReport.compare(weights, Checkpoint.expected(network));
            assertTrue(report.exact(), report.toString());
        }
    }

    @Test
    void headReadsOnlyTheFeatures() {
        for (String name : Models.names()) {
            Network network = Models.named(name).network(64, 10);
            String boundary = network.graph().outputs().get(Network.FEATURES).name();
            List<String> suffix = network.graph().suffix(boundary).parameters().stream().map(Param::name).toList();
            assertEquals(network.head().parameters(), suffix, name);
        }
    }

    @Test
    void dropoutBeforeTheHeadIsTheCallersOrTheModelsOwn() {
        Architecture architecture = Models.named("resnet18");
        assertEquals(0, dropouts(architecture.network(64, 10)).size());
        assertEquals(List.of(0.2), dropouts(architecture.network(64, 10, 0.2)));
        assertEquals(List.of(0.5), dropouts(Models.named("squeezenet1_1").network(64, 10)));
        assertEquals(List.of(), dropouts(Models.named("squeezenet1_1").network(64, 10, 0)));
    }

    private static List<Double> dropouts(Network network) {
        return network.graph().nodes().stream().filter(n -> n.op().equals("dropout")).map(n -> n.attributes().get("rate")).toList();
    }

    @Test
    void dropPathRisesEvenlyFromTheFirstBlockToTheLast() {
        Architecture architecture = Models.named("vit_cifar");
        assertEquals(List.of(), dropouts(architecture.network(32, 10)));
        List<Double> rates = dropouts(architecture.network(new NetworkOptions(32, 10, Double.NaN, 0.5)));
        assertEquals(10, rates.size(), "two branches in each block but the first");
        for (int i = 0; i < 10; i++) {
            assertEquals(0.1 * (1 + i / 2), rates.get(i), 1e-12, "branch " + i);
        }
        String message = assertThrows(IllegalArgumentException.class,
                () -> Models.named("resnet18").network(new NetworkOptions(64, 10, Double.NaN, 0.1))).getMessage();
        assertEquals("drop-path is 0.1, but resnet18 has no branches that it could drop", message);
    }

    @Test
    void transformersDemandWholePatches() {
        String message = assertThrows(IllegalArgumentException.class, () -> Models.named("vit_tiny_patch16_224").network(100, 10)).getMessage();
        assertTrue(message.endsWith("patches of 16 pixels: the image size must be a multiple, got 100"), message);
    }

    @Test
    void startsFollowThePublishedRules() {
        Network network = Models.named("resnet18").network(64, 10);
        int count = 64 * 64 * 9;
        float[] kernel = network.starts().get("layer1.0.conv1.weight").values(1, "layer1.0.conv1.weight", count);
        double squares = 0;
        for (float value : kernel) {
            squares += (double) value * value;
        }
        // variance 2 / (64 * 9), its estimate within five standard errors, sqrt(2 / count) each
        assertEquals(1, squares / count / (2.0 / (64 * 9)), 5 * Math.sqrt(2.0 / count));
        float[] head = network.starts().get("fc.weight").values(1, "fc.weight", 5120);
        double bound = 1 / Math.sqrt(512);
        for (float value : head) {
            assertTrue(Math.abs(value) <= bound, "fc.weight starts with " + value + ", the bound is " + bound);
        }
        assertArrayEquals(new float[] {1, 1}, network.starts().get("bn1.running_var").values(1, "bn1.running_var", 2));
        assertArrayEquals(head, network.starts().get("fc.weight").values(1, "fc.weight", 5120));
    }

    @Test
    void unknownNameOffersTheNearest() {
        String message = assertThrows(IllegalArgumentException.class, () -> Models.named("resnet19")).getMessage();
        assertEquals("unknown model resnet19, did you mean resnet18?", message);
        String far = assertThrows(IllegalArgumentException.class, () -> Models.named("vgg")).getMessage();
        assertTrue(far.startsWith("unknown model vgg: expected one of resnet18, "), far);
    }
}
