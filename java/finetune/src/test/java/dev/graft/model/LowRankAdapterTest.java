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
import dev.graft.golden.WeightFormula;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.WeightsException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** An adapter goes out to a PEFT folder and comes back as it was; on another base it is refused. */
class LowRankAdapterTest {
    private static final int CLASSES = 10;
    private static final int RANK = 3;

    @TempDir
    Path folder;

    private static Network network(String model) {
        return Models.named(model).network(32, CLASSES);
    }

    /** Convolutions alone: with stride and padding, 1x1, and one at another rank; the head whole. */
    private static LowRankAdapter convolutions(String name) {
        List<LowRankLayer> layers = List.of(new LowRankLayer("conv1", RANK, 0.5), new LowRankLayer("layer2.0.conv1", RANK, 0.5),
                new LowRankLayer("layer3.1.conv2", 2 * RANK, 1.25));
        return new LowRankAdapter(network("cifar_resnet20"), name, layers, List.of("linear.weight", "linear.bias"), false);
    }

    private static Parameters store(Device device, Network network) {
        Parameters parameters = device.parameters().declare(network.graph(), Origin.METHOD);
        for (Param p : network.graph().parameters()) {
            parameters.write(p.name(), WeightFormula.tensor(p));
        }
        return parameters;
    }

    private static float[] logits(Network network, Parameters parameters) {
        try (Plan plan = Plan.compile(network.graph(), parameters, PlanOptions.eval(2).build())) {
            plan.input(Network.PIXELS).write(WeightFormula.pixels(2, 32, 1, 0));
            plan.forward();
            return plan.read(network.graph().outputs().get(Network.LOGITS).name());
        }
    }

    @Test
    void savedAdapterAnswersWithTheSameBitsOnAnotherStore() {
        LowRankAdapter trained = convolutions(null);
        float[] expected;
        try (Device device = Device.open("cpu", 2, 1)) {
            Parameters parameters = store(device, trained.network());
            expected = logits(trained.network(), parameters);
            trained.save(folder.resolve("adapter"), false, parameters, Map.of());
        }
        try (Device device = Device.open("cpu", 2, 1); PeftFolder peft = PeftFolder.open(folder.resolve("adapter"))) {
            Network base = network("cifar_resnet20");
            Parameters parameters = store(device, base);
            float[] plain = logits(base, parameters);
            LowRankAdapter read = LowRankAdapter.of(base, peft, "task");
            read.load(peft, parameters);
            assertArrayEquals(expected, logits(read.network(), parameters));
            assertArrayEquals(plain, logits(base, parameters), "the base answers as before");
            assertTrue(read.parameters().containsAll(List.of("conv1.lora_A.task.weight", "linear.modules_to_save.task.bias")));
        }
    }

    @Test
    void startsWithoutEffect() {
        LowRankAdapter adapter = convolutions("task");
        Network adapted = adapter.network();
        try (Device device = Device.open("cpu", 2, 1)) {
            Parameters parameters = store(device, adapter.base());
            float[] plain = logits(adapter.base(), parameters);
            parameters.declare(adapted.graph(), Origin.METHOD);
            for (String name : adapter.parameters()) {
                int count = (int) parameters.declaration(name).count();
                parameters.write(name, name.startsWith("linear") ? parameters.read(name.replace("modules_to_save.task.", ""))
                        : adapted.starts().get(name).values(1, name, count));
            }
            float[] started = logits(adapted, parameters);
            for (int i = 0; i < plain.length; i++) {
                assertEquals(plain[i], started[i], 1e-5 * Math.abs(plain[i]) + 1e-5, "frozen norms fold into the plain convolutions only");
            }
        }
    }

    @Test
    void slicesAreWrittenAsBlocksOfTheWholeLayer() {
        Network base = network("cifar_resnet20");
        LowRankLayer layer = new LowRankLayer("linear", 1, 0.5, 0, List.of(new LowRankLayer.Slice(1, 2), new LowRankLayer.Slice(5, 2)));
        for (boolean stabilised : new boolean[] {false, true}) {
            LowRankAdapter adapter = new LowRankAdapter(base, null, List.of(layer), List.of(), stabilised);
            Path to = folder.resolve("adapter" + stabilised);
            float[] expected;
            try (Device device = Device.open("cpu", 1, 1)) {
                Parameters parameters = store(device, adapter.network());
                parameters.write("linear.lora_B.weight", new float[] {1, 2, 3, 4});
                expected = logits(adapter.network(), parameters);
                adapter.save(to, false, parameters, Map.of());
            }
            try (PeftFolder peft = PeftFolder.open(to); Device device = Device.open("cpu", 1, 1)) {
                PeftFolder.Layer whole = peft.layers().get(0);
                assertEquals(2, whole.rank());
                assertEquals(0.5, whole.factor(), 1e-15);
                float[] b = new float[2 * CLASSES];
                b[2] = 1;
                b[4] = 2;
                b[11] = 3;
                b[13] = 4;
                assertArrayEquals(b, peft.file().read(whole.b()));
                LowRankAdapter read = LowRankAdapter.of(base, peft, null);
                Parameters parameters = store(device, base);
                read.load(peft, parameters);
                assertArrayEquals(expected, logits(read.network(), parameters), 1e-5f, "zeros are added in another order");
            }
        }
    }

    @Test
    void adapterOfAnotherBaseIsRefusedByNameAndShape() {
        try (Device device = Device.open("cpu", 1, 1)) {
            LowRankAdapter adapter = convolutions(null);
            adapter.save(folder.resolve("adapter"), false, store(device, adapter.network()), Map.of());
        }
        try (PeftFolder peft = PeftFolder.open(folder.resolve("adapter"))) {
            refused(peft, network("squeezenet1_1"), "(0 of 5 parts fit)", "conv1, which squeezenet1_1 does not have and 4 more");
            refused(peft, network("resnet18"), "(0 of 5 parts fit)", "conv1 has A [3, 3, 3, 3] and B [16, 3, 1, 1]", "is [64, 3, 7, 7]");
            refused(peft, Models.named("cifar_resnet20").network(32, 7), "(3 of 5 parts fit)", "linear.", " is [10", "[7");
        }
    }

    private static void refused(PeftFolder peft, Network base, String... words) {
        String message = assertThrows(WeightsException.class, () -> LowRankAdapter.of(base, peft, null)).getMessage();
        for (String word : words) {
            assertTrue(message.contains(word), "expected <" + word + "> in: " + message);
        }
    }

    @Test
    void namesAreChecked() {
        assertThrows(IllegalArgumentException.class, () -> convolutions("a.b"));
        assertThrows(IllegalArgumentException.class,
                () -> new LowRankAdapter(network("cifar_resnet20"), null, List.of(), List.of("linear.weights"), false));
    }
}
