package dev.graft.predict;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.graft.data.Limits;
import dev.graft.data.Split;
import dev.graft.engine.Device;
import dev.graft.engine.Origin;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.model.LowRankAdapter;
import dev.graft.model.LowRankLayer;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.weights.Bundle;
import dev.graft.weights.Card;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.WeightsException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Adapters over one frozen base: each answers as its own network does, costs its own bytes, and leaves no trace. */
class AdapterPredictionTest {
    private static final String MODEL = "vit_cifar";
    private static final List<String> CLASSES = List.of("a", "b", "c");
    private static final int BATCH = 4;
    private static final int RANK = 4;
    private static final int BLOCKS = 6;
    private static final int WIDTH = 192;

    @TempDir
    Path folder;

    private final Network base = Models.named(MODEL).network(32, CLASSES.size());
    private final Card card = Models.named(MODEL).card();
    private List<Path> pictures;
    private Device device;
    private Parameters store;

    @BeforeEach
    void open() throws IOException {
        pictures = Pictures.write(folder, 6, 32);
        device = Device.open("cpu", 2, 1);
        store = device.parameters();
        write(store, base, 1);
    }

    @AfterEach
    void close() {
        device.close();
    }

    /** Fresh starts; B too, so that an adapter has an effect. */
    private static void write(Parameters into, Network network, long seed) {
        into.declare(network.graph(), Origin.METHOD);
        for (Param p : network.graph().parameters()) {
            float[] values = network.starts().get(p.name()).values(seed, p.name(), (int) p.count());
            if (p.name().contains("lora_B")) {
                for (int i = 0; i < values.length; i++) {
                    values[i] = ((i * 7 + (int) seed) % 11 - 5) * 0.1f;
                }
            }
            into.write(p.name(), values);
        }
    }

    private Path adapter(String name, long seed, Network of, List<String> whole, Map<String, String> metadata) {
        List<LowRankLayer> layers = IntStream.range(0, BLOCKS).mapToObj(b -> new LowRankLayer("blocks." + b + ".attn.qkv", RANK, 0.5)).toList();
        LowRankAdapter adapter = new LowRankAdapter(of, null, layers, whole, false);
        try (Parameters trained = device.parameters()) {
            write(trained, adapter.network(), seed);
            adapter.save(folder.resolve(name), false, trained, metadata);
        }
        return folder.resolve(name);
    }

    private Path adapter(String name, long seed) {
        return adapter(name, seed, base, List.of(), Map.of());
    }

    /** What the adapted network answers in a store of its own. */
    private float[][] alone(Path adapter, Network of) {
        try (Parameters own = device.parameters(); PeftFolder peft = PeftFolder.open(adapter)) {
            write(own, of, 1);
            LowRankAdapter read = LowRankAdapter.of(of, peft, null);
            read.load(peft, own);
            List<String> names = IntStream.range(0, of.classes()).mapToObj(i -> "class" + i).toList();
            try (Predictor predictor = Predictor.of(read.network(), own, card, names, BATCH)) {
                return logits(predictor);
            }
        }
    }

    private float[][] logits(Predictor predictor) {
        return predictor.logits(Split.of(pictures, Limits.DEFAULT), 1);
    }

    /** Bytes of all forms in the store. */
    private long formBytes() throws IOException {
        long bytes = 0;
        for (JsonNode form : new ObjectMapper().readTree(store.describe()).get("forms")) {
            bytes += form.get("bytes").longValue();
        }
        return bytes;
    }

    @Test
    void eachAnswersAsItsOwnNetworkDoes() {
        try (Predictor plain = Predictor.of(base, store, card, CLASSES, BATCH)) {
            float[][] before = logits(plain);
            Predictor first = plain.withAdapter("first", adapter("first", 2));
            Predictor second = plain.withAdapter("second", adapter("second", 3));
            assertArrayEquals(alone(folder.resolve("first"), base), logits(first));
            assertArrayEquals(alone(folder.resolve("second"), base), logits(second));
            assertArrayEquals(before, logits(plain));
            assertFalse(Arrays.deepEquals(before, logits(first)), "the adapter has an effect");
            assertEquals(CLASSES, first.classes());
        }
    }

    @Test
    void costsItsOwnBytesAndLeavesNoTrace() throws IOException {
        long tensors = (long) Float.BYTES * BLOCKS * (RANK * WIDTH + 3 * WIDTH * RANK);
        try (Predictor plain = Predictor.of(base, store, card, CLASSES, BATCH)) {
            logits(plain);
            String described = store.describe();
            long bytes = formBytes();
            Predictor first = plain.withAdapter("first", adapter("first", 2));
            logits(first);
            assertEquals(bytes + tensors, formBytes(), "the frozen weights are held once");
            Predictor second = plain.withAdapter("second", adapter("second", 3));
            logits(second);
            assertEquals(bytes + 2 * tensors, formBytes());
            float[][] expected = logits(first);
            first.close();
            assertEquals(bytes + tensors, formBytes());
            second.close();
            assertEquals(described, store.describe());
            assertArrayEquals(expected, logits(plain.withAdapter("first", folder.resolve("first"))), "the name can be used again");
        }
    }

    @Test
    void concurrentRequestsMayChooseDifferentAdapters() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(8);
        try (Predictor plain = Predictor.of(base, store, card, CLASSES, BATCH)) {
            List<Predictor> all = List.of(plain, plain.withAdapter("first", adapter("first", 2)), plain.withAdapter("second", adapter("second", 3)));
            List<float[][]> expected = all.stream().map(this::logits).toList();
            List<Callable<float[][]>> calls = new ArrayList<>();
            for (int i = 0; i < 18; i++) {
                Predictor chosen = all.get(i % all.size());
                calls.add(() -> logits(chosen));
            }
            List<Future<float[][]>> answers = threads.invokeAll(calls);
            for (int i = 0; i < answers.size(); i++) {
                assertArrayEquals(expected.get(i % all.size()), answers.get(i).get(), "call " + i);
            }
        } finally {
            threads.shutdownNow();
        }
    }

    @Test
    void adapterWithAHeadOfItsOwnMayHaveOtherClasses() throws IOException {
        List<String> names = List.of("p", "q", "r", "s", "t");
        Network wider = Models.named(MODEL).network(32, names.size());
        Path path = adapter("wider", 2, wider, List.of("head.weight", "head.bias"), Bundle.metadata(MODEL, names, card));
        try (Predictor plain = Predictor.of(base, store, card, CLASSES, BATCH)) {
            float[][] before = logits(plain);
            Predictor adapted = plain.withAdapter("wider", path);
            assertEquals(names, adapted.classes());
            assertArrayEquals(alone(path, wider), logits(adapted));
            assertArrayEquals(before, logits(plain));
        }
        Path headless = adapter("headless", 2, base, List.of(), Bundle.metadata(MODEL, names, card));
        try (Predictor plain = Predictor.of(base, store, card, CLASSES, BATCH)) {
            String message = assertThrows(WeightsException.class, () -> plain.withAdapter("headless", headless)).getMessage();
            assertTrue(message.contains("has 5 classes, the base 3, but not a head.weight of its own"), message);
        }
    }

    @Test
    void whatDoesNotFitIsRefusedAndLeavesNoTrace() {
        Path first = adapter("first", 2);
        try (Predictor plain = Predictor.of(base, store, card, CLASSES, BATCH)) {
            plain.withAdapter("first", first);
            String described = store.describe();
            assertThrows(IllegalArgumentException.class, () -> plain.withAdapter("first", first), "the name is taken");
            assertThrows(IllegalArgumentException.class, () -> plain.withAdapter("a.b", first), "the name");
            assertThrows(IllegalArgumentException.class, () -> plain.withAdapter(null, first));
            assertThrows(WeightsException.class, () -> plain.withAdapter("one", first, List.of("only", "two")));
            assertThrows(WeightsException.class, () -> plain.withAdapter("none", folder));
            assertEquals(described, store.describe());
        }
        Network other = Models.named("cifar_resnet20").network(32, CLASSES.size());
        try (Parameters parameters = device.parameters()) {
            write(parameters, other, 1);
            try (Predictor plain = Predictor.of(other, parameters, Models.named("cifar_resnet20").card(), CLASSES, BATCH)) {
                String message = assertThrows(WeightsException.class, () -> plain.withAdapter("first", first)).getMessage();
                assertTrue(message.contains("another base than cifar_resnet20 (0 of 6 parts fit)"), message);
            }
        }
    }
}
