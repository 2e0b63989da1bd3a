package dev.graft.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** From training to prediction through the command, and what is refused on the way. */
class RunTest {
    @TempDir
    static Path folder;

    private static Path pictures;
    private static Path run;
    private static Invocation trained;

    @BeforeAll
    static void train() {
        pictures = Folders.twoClasses(folder.resolve("pictures"), 8, 4);
        run = folder.resolve("run");
        trained = Invocation.of("finetune", "--model", "cifar_resnet20", "--data", pictures, "--strategy", "scratch", "--epochs", "2", "--batch",
                "8", "--threads", "1", "--seed", "5", "--out", run, "--json").done();
    }

    @Test
    void resultHasTheContractsKeys() {
        JsonNode json = trained.json();
        for (String key : List.of("out", "strategy", "seconds", "peak_memory_mb", "trainable", "parameters", "val", "test", "options", "history",
                "card", "machine")) {
            assertTrue(json.has(key), key);
        }
        assertEquals("scratch", json.path("strategy").asText());
        assertEquals(json.path("parameters").asLong(), json.path("trainable").asLong());
        assertTrue(json.path("test").isNull(), "there is no test split");
        assertEquals(8, json.path("val").path("samples").asInt());
        assertTrue(json.path("val").has("best"));
        assertFalse(json.path("val").path("selected").asBoolean());
        assertEquals(2, json.path("history").size());
        assertEquals(0.01, json.path("options").path("lr").asDouble());
        assertEquals("flip", json.path("options").path("augment").asText());
        assertEquals(5, json.path("options").path("seed").asInt());
        assertTrue(json.path("peak_memory_mb").asInt() > 10);
        assertTrue(trained.err().contains("epoch 2/2"), trained.err());
        assertEquals(1, trained.out().lines().count(), "with --json standard output is the object only");
    }

    @Test
    void evaluationOfTheSavedResultGivesTheSame() {
        JsonNode json = Invocation.of("evaluate", "--run", run, "--data", pictures, "--batch", "8", "--threads", "1", "--json").done().json();
        for (String key : List.of("accuracy", "samples", "correct", "loss")) {
            assertEquals(trained.json().path("val").path(key), json.path(key), key);
        }
        assertEquals(trained.json().path("val").path("f1").path("macro"), json.path("f1").path("macro"));
        assertTrue(json.path("seconds").asDouble() > 0);
        JsonNode asWeights = Invocation.of("evaluate", "--model", "cifar_resnet20", "--weights", run, "--data", pictures, "--split", "val",
                "--batch", "8", "--threads", "1", "--json").done().json();
        assertEquals(json.path("loss"), asWeights.path("loss"));
    }

    @Test
    void predictPrintsOneObjectAPicture() throws IOException {
        Path broken = Files.writeString(folder.resolve("broken.png"), "no picture");
        Path first = pictures.resolve("val/disc/0000.png");
        Invocation answer = Invocation.of("predict", "--run", run, first, broken, pictures.resolve("val/cross"), "--top", "2", "--json").done();
        List<String> lines = answer.out().lines().toList();
        assertEquals(6, lines.size());
        assertTrue(lines.get(0).contains("\"file\":\"" + first + "\"") && lines.get(0).contains("\"probability\":"), lines.get(0));
        assertTrue(lines.get(1).contains("\"error\""), lines.get(1));
        assertEquals(2, answer.json().path("top").size());
        assertEquals(5, Invocation.of("predict", "--run", run, first, broken, pictures.resolve("val/cross")).done().out().lines().count());
        assertEquals(3, Invocation.of("predict", "--run", run, broken).code());
    }

    @Test
    void inspectComparesWithTheModel() {
        JsonNode json = Invocation.of("inspect", run, "--json").done().json();
        assertTrue(json.path("report").path("exact").asBoolean());
        assertEquals("scratch", json.path("bundle").path("method").asText());
        assertEquals("[\"cross\",\"disc\"]", json.path("metadata").path("graft.classes").asText());
        assertFalse(Invocation.of("inspect", run, "--model", "resnet18", "--json").done().json().path("report").path("exact").asBoolean());
    }

    @Test
    void planTellsWithoutTraining() {
        JsonNode json = Invocation.of("plan", "--model", "cifar_resnet20", "--weights", run, "--data", pictures, "--strategy",
                "partial:from=layer3", "--lr", "0.02", "--threads", "1", "--json").done().json();
        assertEquals(0.02, json.path("options").path("lr").asDouble());
        assertTrue(json.path("trainable").asLong() < json.path("parameters").asLong());
        assertEquals("kept", json.path("head").asText(), "the class names agree");
        assertTrue(json.path("memory").path("total").asLong() > 0);
    }

    @Test
    void folderOfTheResultMustBeEmptyUnlessOverwritten() throws IOException {
        byte[] before = Files.readAllBytes(run.resolve("weights.safetensors"));
        Object[] again = {"finetune", "--model", "cifar_resnet20", "--weights", run, "--data", pictures, "--strategy", "head", "--epochs", "1",
            "--batch", "8", "--threads", "1", "--out", folder.resolve("second")};
        Invocation.of(again).done();
        Invocation.of(again).failed(2, folder.resolve("second") + " is not empty");
        Object[] over = Arrays.copyOf(again, again.length + 1);
        over[again.length] = "--overwrite";
        Invocation.of(over).done();
        assertArrayEquals(before, Files.readAllBytes(run.resolve("weights.safetensors")));
    }

    @Test
    void weightsOfAnotherModelAreRefusedByName() {
        Invocation.of("plan", "--model", "cifar_resnet32", "--weights", run, "--data", pictures).failed(3, "does not fit the model");
        Invocation.of("evaluate", "--model", "squeezenet1_1", "--weights", run, "--data", pictures).failed(3, "does not fit the model");
    }

    @Test
    void patternsThatMatchNothingAreErrorsBeforeTheFirstStep() {
        Invocation.of("finetune", "--model", "cifar_resnet20", "--weights", run, "--data", pictures, "--strategy", "partial:train=nothing.*",
                "--out", folder.resolve("none")).failed(2, "nothing.*");
        Invocation.of("finetune", "--model", "cifar_resnet20", "--weights", run, "--data", pictures, "--lr-mult", "nothing.*=2",
                "--out", folder.resolve("none")).failed(2, "nothing.*");
        Invocation.of("finetune", "--model", "cifar_resnet20", "--weights", run, "--data", pictures, "--strategy", "partial:from=layr3",
                "--out", folder.resolve("none")).failed(2, "layr3", "layer3");
        Invocation.of("plan", "--model", "cifar_resnet20", "--weights", run, "--data", pictures, "--resize", "16").failed(2,
                "resize is 16, expected 0 (none) or 32");
        assertFalse(Files.exists(folder.resolve("none")));
    }

    @Test
    void divergenceHaltsAndNamesWhere() {
        Invocation failed = Invocation.of("finetune", "--model", "cifar_resnet20", "--data", pictures, "--strategy", "scratch", "--epochs", "3",
                "--batch", "8", "--lr", "1e6", "--bn", "frozen", "--threads", "1", "--out", folder.resolve("diverged"));
        failed.failed(1, "loss", "epoch 1");
    }

    @Test
    void tooLargeABatchIsRefusedWithWhatWouldFit() {
        Invocation.of("finetune", "--model", "cifar_resnet20", "--data", pictures, "--strategy", "scratch", "--batch", "16000000", "--threads", "1",
                "--out", folder.resolve("large")).failed(4, "MiB");
        assertFalse(Files.exists(folder.resolve("large")));
    }
}
