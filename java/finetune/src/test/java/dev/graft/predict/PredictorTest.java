package dev.graft.predict;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.graft.data.Limits;
import dev.graft.data.Split;
import dev.graft.engine.Device;
import dev.graft.engine.Parameters;
import dev.graft.model.Architecture;
import dev.graft.model.Checkpoint;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.weights.Bundle;
import dev.graft.weights.WeightsException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Answers depend on the picture and the weights only: not on neighbours, threads or the process. */
class PredictorTest {
    private static final String MODEL = "cifar_resnet20";
    private static final List<String> CLASSES = List.of("a", "b", "c");
    private static final int BATCH = 4;

    @TempDir
    Path folder;

    /** A bundle of fresh weights and the logits of the store it was made from. */
    private float[][] bundle(Path to, List<Path> pictures) {
        Architecture architecture = Models.named(MODEL);
        Network network = architecture.network(32, CLASSES.size());
        try (Device device = Device.open("cpu", 2, 1); Parameters parameters = device.parameters()) {
            Checkpoint.load(network, null, List.of(), 7, parameters);
            Bundle.write(to, false, MODEL, CLASSES, architecture.card(), null, JsonNodeFactory.instance.objectNode(),
                    Checkpoint.tensors(network, parameters));
            try (Predictor predictor = Predictor.of(network, parameters, architecture.card(), CLASSES, BATCH)) {
                return predictor.logits(Split.of(pictures, Limits.DEFAULT), 1);
            }
        }
    }

    @Test
    void savedBundleAnswersWithTheSameBits() throws IOException {
        List<Path> pictures = Pictures.write(folder, 6, 32);
        float[][] expected = bundle(folder.resolve("run"), pictures);
        try (Predictor predictor = Predictor.open(folder.resolve("run"), 2, BATCH)) {
            assertArrayEquals(expected, predictor.logits(Split.of(pictures, Limits.DEFAULT), 2));
        }
    }

    @Test
    void freshJvmAnswersWithTheSameBits() throws Exception {
        List<Path> pictures = Pictures.write(folder, 5, 32);
        float[][] expected = bundle(folder.resolve("run"), pictures);
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp", System.getProperty("java.class.path")));
        String cache = System.getProperty("org.bytedeco.javacpp.cachedir");
        if (cache != null) {
            command.add(1, "-Dorg.bytedeco.javacpp.cachedir=" + cache);
        }
        command.addAll(List.of(PrintLogits.class.getName(), folder.resolve("run").toString(), Integer.toString(BATCH)));
        pictures.forEach(p -> command.add(p.toString()));
        Process child = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        List<String> lines = new String(child.getInputStream().readAllBytes()).lines().toList();
        assertEquals(0, child.waitFor());
        assertEquals(PrintLogits.lines(expected), lines);
    }

    @Test
    void eightThreadsGetTheSameBits() throws Exception {
        List<Path> pictures = Pictures.write(folder, 6, 32);
        float[][] expected = bundle(folder.resolve("run"), pictures);
        ExecutorService threads = Executors.newFixedThreadPool(8);
        try (Predictor predictor = Predictor.open(folder.resolve("run"), 2, BATCH)) {
            List<Callable<float[][]>> calls = new ArrayList<>();
            for (int i = 0; i < 16; i++) {
                calls.add(() -> predictor.logits(Split.of(pictures, Limits.DEFAULT), 1));
            }
            for (Future<float[][]> answer : threads.invokeAll(calls)) {
                assertArrayEquals(expected, answer.get());
            }
        } finally {
            threads.shutdownNow();
        }
    }

    @Test
    void neighboursDoNotMatter() throws IOException {
        List<Path> pictures = Pictures.write(folder, 6, 32);
        float[][] expected = bundle(folder.resolve("run"), pictures);
        try (Predictor predictor = Predictor.open(folder.resolve("run"), 2, BATCH)) {
            for (int i = 0; i < pictures.size(); i++) {
                assertArrayEquals(expected[i], predictor.logits(Split.of(pictures.subList(i, i + 1), Limits.DEFAULT), 1)[0]);
            }
        }
    }

    @Test
    void unreadablePicturesAreReportedOneByOne() throws IOException {
        List<Path> files = new ArrayList<>(Pictures.write(folder, 2, 40));
        bundle(folder.resolve("run"), files);
        Path broken = Files.write(folder.resolve("broken.png"), new byte[] {(byte) 0x89, 'P', 'N', 'G', 1, 2, 3});
        files.add(1, broken);
        files.add(0, folder.resolve("absent.png"));
        files.add(folder);
        try (Predictor predictor = Predictor.open(folder.resolve("run"), 1, BATCH)) {
            List<Prediction> answers = predictor.predict(files, 2);
            assertEquals(files, answers.stream().map(Prediction::file).toList());
            assertEquals("no such file", answers.get(0).problem());
            assertNull(answers.get(1).problem());
            assertNotNull(answers.get(2).problem());
            assertNull(answers.get(2).label());
            assertTrue(answers.get(4).problem().startsWith("a folder"));
            Prediction right = answers.get(3);
            assertEquals(2, right.top().size());
            assertTrue(right.probability() >= right.top().get(1).probability() && right.probability() <= 1);
            double all = predictor.predict(List.of(files.get(1)), 9).get(0).top().stream().mapToDouble(ClassProbability::probability).sum();
            assertEquals(1, all, 1e-12, "probabilities in double precision sum to 1");
        }
    }

    @Test
    void bundleThatDoesNotFitItsModelIsRefused() throws IOException {
        bundle(folder.resolve("run"), Pictures.write(folder, 1, 32));
        Path description = folder.resolve("run").resolve(Bundle.DESCRIPTION);
        String text = Files.readString(description);
        Files.writeString(description, text.replace(MODEL, "no_such_model"));
        assertThrows(WeightsException.class, () -> Predictor.open(folder.resolve("run"), 1, BATCH));
    }
}
