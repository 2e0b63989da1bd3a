package dev.graft.golden;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.Device;
import dev.graft.engine.Origin;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.model.Checkpoint;
import dev.graft.model.LowRankAdapter;
import dev.graft.model.LowRankLayer;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.weights.Layout;
import dev.graft.weights.PeftFolder;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Adapters exchanged with Python's PEFT on timm's vision transformer: what PEFT saved answers here as there, and what is saved
 * here, PEFT answers with as Graft does. Fixtures: {@code make_peft_fixtures.py}.
 */
class AdapterExchangeTest {
    /** Of the largest logit; PEFT's own F32 run is 2e-6 from its F64 run. */
    private static final double TOLERANCE = 1e-5;
    private static final String MODEL = "vit_cifar";
    private static final int CLASSES = 10;
    private static final int WIDTH = 192;

    @TempDir
    Path folder;

    private static Network base() {
        return Models.named(MODEL).network(32, CLASSES);
    }

    private static Path golden(String name) {
        try {
            return Path.of(AdapterExchangeTest.class.getResource("/golden/peft/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    private static Parameters store(Device device) {
        Parameters parameters = device.parameters().declare(base().graph(), Origin.CHECKPOINT);
        base().graph().parameters().forEach(p -> parameters.write(p.name(), WeightFormula.tensor(p)));
        return parameters;
    }

    /** Two slices of a fused qkv, a plain layer and the convolution of the patches, at three ranks with one alpha; the head whole. */
    private static LowRankAdapter adapter() {
        List<LowRankLayer.Slice> queryAndValue = List.of(new LowRankLayer.Slice(0, WIDTH), new LowRankLayer.Slice(2 * WIDTH, WIDTH));
        double alpha = 1;
        return new LowRankAdapter(base(), null, List.of(new LowRankLayer("patch_embed.proj", 4, alpha / Math.sqrt(4)),
                new LowRankLayer("blocks.0.attn.qkv", 2, alpha / Math.sqrt(2), 0.1, queryAndValue),
                new LowRankLayer("blocks.5.mlp.fc1", 3, alpha / Math.sqrt(3))), List.of("head.weight", "head.bias"), true);
    }

    /** Tensors of the formula under names of their own. */
    private static void write(LowRankAdapter adapter, Parameters into) {
        into.declare(adapter.network().graph(), Origin.METHOD);
        for (String name : adapter.parameters()) {
            Param p = (Param) adapter.network().graph().entry(name);
            long[] dims = Checkpoint.torchDims(p);
            float[] values = WeightFormula.tensor("graft/" + name, dims);
            into.write(name, dims.length == 4 ? Layout.toEngine(values, dims) : values);
        }
    }

    private static float[] logits(Network network, Parameters parameters, GoldenFile golden) {
        int batch = golden.json("batch").intValue();
        try (Plan plan = Plan.compile(network.graph(), parameters, PlanOptions.eval(batch).build())) {
            plan.input(Network.PIXELS).write(WeightFormula.pixels(batch, 32, golden.json("scale").doubleValue(), golden.json("visit").intValue()));
            plan.forward();
            return plan.read(network.graph().outputs().get(Network.LOGITS).name());
        }
    }

    private static void assertClose(double[] expected, float[] actual) {
        double largest = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
        assertEquals(expected.length, actual.length);
        for (int i = 0; i < actual.length; i++) {
            assertEquals(expected[i], actual[i], TOLERANCE * largest, "logit " + i);
        }
    }

    @Test
    void adapterThatPeftSavedAnswersAsInPeft() {
        GoldenFile golden = GoldenFile.open("peft/from_peft");
        try (Device device = Device.open("cpu", 2, 1); PeftFolder peft = PeftFolder.open(golden("from_peft"))) {
            Parameters parameters = store(device);
            assertClose(golden.values("base"), logits(base(), parameters, golden));
            for (String name : List.of("first", "second")) {
                LowRankAdapter adapter = LowRankAdapter.of(base(), peft, name);
                adapter.load(peft, parameters);
                assertClose(golden.values("logits64"), logits(adapter.network(), parameters, golden));
            }
            assertClose(golden.values("base"), logits(base(), parameters, golden));
        }
    }

    @Test
    void adapterThatGraftSavesIsTheOneThatPeftWasGiven() throws IOException {
        save(folder.resolve("adapter"));
        for (String file : List.of(PeftFolder.CONFIG, PeftFolder.WEIGHTS)) {
            assertArrayEquals(Files.readAllBytes(golden("from_graft").resolve(file)), Files.readAllBytes(folder.resolve("adapter").resolve(file)), file);
        }
    }

    @Test
    void peftAnswersWithAGraftAdapterAsGraftDoes() {
        GoldenFile golden = GoldenFile.open("peft/from_graft");
        try (Device device = Device.open("cpu", 2, 1); PeftFolder peft = PeftFolder.open(golden("from_graft"))) {
            Parameters trained = store(device);
            write(adapter(), trained);
            assertClose(golden.values("logits64"), logits(adapter().network(), trained, golden));
            Parameters other = store(device);
            LowRankAdapter read = LowRankAdapter.of(base(), peft, "read");
            read.load(peft, other);
            assertClose(golden.values("logits64"), logits(read.network(), other, golden));
            assertTrue(peft.layers().stream().anyMatch(l -> l.module().equals("blocks.0.attn.qkv") && l.rank() == 4), "slices are one adapter of twice the rank");
        }
    }

    private static void save(Path to) {
        try (Device device = Device.open("cpu", 1, 1)) {
            Parameters parameters = store(device);
            write(adapter(), parameters);
            adapter().save(to, false, parameters, Map.of());
        }
    }

    /** Writes the folder that {@code make_peft_fixtures.py} gives to PEFT. */
    public static void main(String[] args) {
        save(Path.of(args[0]));
    }
}
