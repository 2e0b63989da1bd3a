package dev.graft.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.StoredTensor;
import dev.graft.weights.WeightFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A low-rank run through the command: what it tells, saves and refuses. */
class LowRankTest {
    /** Numbers of A and B at rank 3: each of layer3's six convolutions, then the head. */
    private static final long TRAINABLE = 3 * (9 * 32 + 64) + 3 * 5 * (9 * 64 + 64) + 2 * 64 + 2;

    @TempDir
    static Path folder;

    private static Path pictures;
    private static Path base;
    private static Path run;
    private static Invocation trained;

    @BeforeAll
    static void train() {
        pictures = Folders.twoClasses(folder.resolve("pictures"), 8, 4);
        base = folder.resolve("base");
        run = folder.resolve("run");
        Invocation.of("finetune", "--model", "cifar_resnet20", "--data", pictures, "--strategy", "scratch", "--epochs", "1", "--batch", "8",
                "--threads", "1", "--out", base).done();
        trained = lora("r=3,targets=layer3", run);
    }

    private static Invocation lora(String settings, Path out) {
        return Invocation.of("finetune", "--model", "cifar_resnet20", "--weights", base, "--data", pictures, "--strategy", "lora:" + settings,
                "--epochs", "2", "--batch", "8", "--threads", "1", "--out", out, "--json");
    }

    @Test
    void resultTellsWhatTrainedAndHowFarTheMergeWent() {
        JsonNode json = trained.done().json();
        assertEquals("lora:r=3,alpha=6,targets=layer3", json.path("strategy").asText());
        assertEquals(TRAINABLE, json.path("trainable").asLong());
        JsonNode merge = json.path("merge");
        assertEquals(6, merge.path("layers").asInt());
        assertEquals(TRAINABLE - 130, merge.path("parameters").asLong());
        assertTrue(merge.path("largest_weight_change").asDouble() > 0);
        drifted(merge);
    }

    // Products of the low-rank branch are added up in another order.
    private static void drifted(JsonNode merge) {
        double magnitude = merge.path("largest_logit").asDouble();
        assertTrue(magnitude > 0 && merge.path("largest_logit_drift").asDouble() <= 1e-5 * magnitude, merge.toString());
    }

    @Test
    void savedResultIsThePublishedNetwork() {
        assertTrue(Invocation.of("inspect", run, "--model", "cifar_resnet20", "--json").done().json().path("report").path("exact").asBoolean());
        JsonNode again = Invocation.of("evaluate", "--run", run, "--data", pictures, "--batch", "8", "--threads", "1", "--json").done().json();
        assertEquals(trained.json().path("val").path("loss"), again.path("loss"));
    }

    @Test
    void adapterOnItsBaseIsTheSavedResult() throws IOException {
        assertTrue(Files.isRegularFile(run.resolve("adapter/adapter_config.json")));
        Path out = folder.resolve("merged.safetensors");
        Invocation.of("merge", "--weights", base, "--adapter", run, "--out", out, "--threads", "1", "--json").done();
        try (WeightFile saved = WeightFile.open(run.resolve("weights.safetensors")); WeightFile merged = WeightFile.open(out)) {
            assertEquals(saved.metadata(), merged.metadata());
            for (StoredTensor tensor : saved.tensors()) {
                assertArrayEquals(saved.read(tensor), merged.read(tensor.name()), tensor.name());
            }
        }
        JsonNode answers = Invocation.of("evaluate", "--model", "cifar_resnet20", "--weights", out, "--data", pictures, "--batch", "8", "--threads", "1",
                "--json").done().json();
        assertEquals(trained.json().path("val").path("loss"), answers.path("loss"));
    }

    @Test
    void adapterOnItsBasePredictsWhatTheResultPredicts() {
        JsonNode merged = predicted("--run", run);
        JsonNode adapted = predicted("--model", "cifar_resnet20", "--weights", base, "--adapter", run);
        assertEquals(merged.path("class"), adapted.path("class"));
        assertEquals(merged.path("probability").asDouble(), adapted.path("probability").asDouble(), 1e-5);
        assertEquals(adapted, predicted("--run", base, "--adapter", run.resolve("adapter")));
        Invocation.of("predict", "--model", "cifar_resnet20", pictures).failed(2, "--weights");
        Invocation.of("predict", "--run", run, "--weights", base, pictures).failed(2, "--run brings its own");
        Invocation.of("predict", "--run", run, "--adapter", base, pictures).failed(3, "adapter_config.json");
    }

    private static JsonNode predicted(Object... source) {
        List<Object> arguments = new ArrayList<>(List.of("predict", "--threads", "1", "--json"));
        arguments.addAll(List.of(source));
        try (Stream<Path> all = Files.walk(pictures)) {
            arguments.add(all.filter(Files::isRegularFile).sorted().findFirst().orElseThrow());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        ObjectNode json = (ObjectNode) Invocation.of(arguments.toArray()).done().json();
        json.remove("top");
        return json;
    }

    @Test
    void adapterIsInspected() {
        JsonNode json = Invocation.of("inspect", run.resolve("adapter"), "--json").done().json();
        assertEquals(6, json.path("layers").size());
        assertEquals(Float.BYTES * TRAINABLE, json.path("bytes").asLong());
        assertEquals("[\"linear.bias\",\"linear.weight\"]", json.path("whole").toString());
        assertTrue(json.path("report").path("exact").asBoolean());
        assertFalse(Invocation.of("inspect", run.resolve("adapter"), "--model", "squeezenet1_1", "--json").done().json()
                .path("report").path("exact").asBoolean());
    }

    @Test
    void slicesOfATransformersQkvAreSavedAsOneAdapterOfTheLayer() {
        Path start = folder.resolve("vit");
        Path tuned = folder.resolve("vit-lora");
        Invocation.of("finetune", "--model", "vit_cifar", "--data", pictures, "--strategy", "scratch", "--epochs", "1", "--batch", "8", "--threads", "1",
                "--out", start).done();
        JsonNode json = Invocation.of("finetune", "--model", "vit_cifar", "--weights", start, "--data", pictures, "--strategy",
                "lora:r=2,targets=blocks.5.attn.qkv[q+v]+blocks.5.mlp.fc1,train=norm,dropout=0.1", "--epochs", "2", "--batch", "8", "--threads", "1",
                "--lr", "0.05", "--out", tuned, "--json").done().json();
        long adapter = 2 * 2 * (192 + 192) + 2 * (192 + 768);
        assertEquals(adapter, json.path("merge").path("parameters").asLong());
        assertEquals(adapter + 2 * 192 + 2 * 192 + 2, json.path("trainable").asLong(), "and norm, and the head");
        drifted(json.path("merge"));
        try (PeftFolder peft = PeftFolder.open(tuned.resolve("adapter"))) {
            assertEquals(List.of(4, 2), peft.layers().stream().map(PeftFolder.Layer::rank).toList());
            assertEquals(4, peft.saved().size());
        }
        Path out = folder.resolve("vit.safetensors");
        drifted(Invocation.of("merge", "--weights", start, "--adapter", tuned, "--out", out, "--threads", "1", "--json").done().json());
        try (WeightFile saved = WeightFile.open(tuned.resolve("weights.safetensors")); WeightFile merged = WeightFile.open(out)) {
            for (StoredTensor tensor : saved.tensors()) {
                assertArrayEquals(saved.read(tensor), merged.read(tensor.name()), 1e-6f, tensor.name());
            }
        }
    }

    @Test
    void unmergingGivesTheBaseBackButForTheHead() {
        Path out = folder.resolve("unmerged.safetensors");
        JsonNode json = Invocation.of("merge", "--weights", run, "--adapter", run.resolve("adapter"), "--unmerge", "--out", out, "--threads", "1",
                "--json").done().json();
        assertEquals(6, json.path("layers").asInt());
        assertEquals("[\"linear.bias\",\"linear.weight\"]", json.path("whole").toString());
        assertTrue(json.path("largest_weight_change").asDouble() > 0);
        drifted(json);
        try (WeightFile before = WeightFile.open(base.resolve("weights.safetensors")); WeightFile after = WeightFile.open(out)) {
            for (StoredTensor tensor : before.tensors()) {
                if (!tensor.name().startsWith("linear.")) {
                    float[] expected = before.read(tensor);
                    float[] actual = after.read(tensor.name());
                    for (int i = 0; i < expected.length; i++) {
                        // weights are below 1: one rounding when merged, one when taken out
                        assertEquals(expected[i], actual[i], Math.ulp(1f), tensor.name());
                    }
                }
            }
        }
    }

    @Test
    void mergeIsRefusedInOneLine() throws IOException {
        Path out = folder.resolve("refused.safetensors");
        Path resnet = folder.resolve("resnet32");
        Invocation.of("finetune", "--model", "cifar_resnet32", "--data", pictures, "--strategy", "scratch", "--epochs", "1", "--batch", "8",
                "--threads", "1", "--out", resnet).done();
        Path deeper = folder.resolve("deeper");
        Invocation.of("finetune", "--model", "cifar_resnet32", "--weights", resnet, "--data", pictures, "--strategy", "lora:r=3,targets=layer3.4",
                "--epochs", "1", "--batch", "8", "--threads", "1", "--out", deeper).done();
        Invocation.of("merge", "--weights", base, "--adapter", deeper, "--out", out).failed(3, "an adapter for another base than cifar_resnet20",
                "layer3.4.conv1");
        Invocation.of("merge", "--weights", base, "--adapter", base, "--out", out).failed(3, "has no adapter_config.json");
        Invocation.of("merge", "--weights", base, "--adapter", run, "--out", folder).failed(2, "is a folder");
        Invocation.of("merge", "--weights", base, "--adapter", run, "--out", folder.resolve("none/x.safetensors")).failed(2, "there is no folder");
        Invocation.of("merge", "--weights", base, "--adapter", run, "--out", out, "--model", "resnet19").failed(2, "did you mean resnet18?");
        assertFalse(Files.exists(out));
        Path there = Files.writeString(folder.resolve("there.safetensors"), "x");
        Invocation.of("merge", "--weights", base, "--adapter", run, "--out", there).failed(2, "is there already");
        assertEquals("x", Files.readString(there));
    }

    @Test
    void planTellsWhatWouldTrain() {
        JsonNode json = Invocation.of("plan", "--model", "cifar_resnet20", "--weights", base, "--data", pictures, "--strategy",
                "lora:r=3,targets=layer3,every=1", "--threads", "1", "--json").done().json();
        assertEquals(TRAINABLE, json.path("trainable").asLong());
        assertEquals(2, json.path("stages").size(), "the head, then layer3");
    }

    @Test
    void mistakesEndBeforeTheFirstStep() {
        Path none = folder.resolve("none");
        lora("targets=layr3", none).failed(2, "layr3");
        lora("targets=*.bn1", none).failed(2, "a batch_norm");
        lora("targets=layer3,train=nothing", none).failed(2, "the pattern nothing matches none");
        lora("r=0", none).failed(2, "r is 0, expected 1 to 256");
        lora("r=17", none).failed(2, "r is 17, the smaller dimension of conv1 is 16");
        lora("alpha=NaN", none).failed(2, "alpha is NaN");
        assertFalse(Files.exists(none));
    }
}
