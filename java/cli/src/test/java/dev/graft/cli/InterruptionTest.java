package dev.graft.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.finetune.FineTuning;
import dev.graft.finetune.FineTuningResult;
import dev.graft.train.TrainObserver;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Ctrl-C in a process of its own: the first keeps what was trained, the second ends at once. */
class InterruptionTest {
    @TempDir
    Path folder;

    /** Whoever starts the tests may have SIGINT ignored, which a child inherits: {@code env} gives it its default again. */
    private Process start(Path out) throws IOException {
        Path pictures = Folders.twoClasses(folder.resolve("pictures"), 8, 4);
        String cache = System.getProperty("org.bytedeco.javacpp.cachedir", folder.resolve("natives").toString());
        Process process = new ProcessBuilder(List.of("env", "--default-signal=INT",
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Dorg.bytedeco.javacpp.cachedir=" + cache, "-cp", System.getProperty("java.class.path"), Main.class.getName(), "finetune",
                "--model", "cifar_resnet20", "--strategy", "scratch", "--epochs", "100000", "--batch", "8", "--threads", "1", "--data",
                pictures.toString(), "--out", out.toString())).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        // one that never says what is awaited ends the wait
        CompletableFuture.delayedExecutor(3, TimeUnit.MINUTES).execute(process::destroyForcibly);
        return process;
    }

    private static void await(BufferedReader lines, String beginning) throws IOException {
        String line = lines.readLine();
        while (line != null && !line.startsWith(beginning)) {
            line = lines.readLine();
        }
        assertTrue(line != null, "the command ended before it said " + beginning);
    }

    private static void interrupt(Process process) throws IOException, InterruptedException {
        assertEquals(0, new ProcessBuilder("kill", "-INT", Long.toString(process.pid())).inheritIO().start().waitFor());
    }

    @Test
    void firstKeepsWhatWasTrained() throws IOException, InterruptedException {
        Path out = folder.resolve("run");
        Process process = start(out);
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(process.getErrorStream()))) {
            await(lines, "epoch 2/");
            interrupt(process);
            await(lines, "graft: interrupted; what was trained so far is in " + out);
            assertTrue(process.waitFor(1, TimeUnit.MINUTES));
            assertEquals(ExitCode.INTERRUPTED, process.exitValue());
        } finally {
            process.destroyForcibly();
        }
        Invocation.of("predict", "--run", out, folder.resolve("pictures/val/disc/0000.png")).done();
    }

    @Test
    void oneBeforeAnythingIsTrainedSavesNothing() {
        Path pictures = Folders.twoClasses(folder.resolve("pictures"), 8, 4);
        Path start = folder.resolve("start");
        try (FineTuning run = FineTuning.of("cifar_resnet20").data(pictures).strategy("scratch").epochs(1).batch(8).threads(1).out(start).open()) {
            run.run();
        }
        Path out = folder.resolve("run");
        try (FineTuning run = FineTuning.of("cifar_resnet20").weights(start).data(pictures).strategy("head").epochs(1).batch(8).threads(1)
                .out(out).open()) {
            FineTuningResult result = run.run(TrainObserver.SILENT, () -> true);
            assertTrue(result.interrupted());
            assertEquals(List.of(), result.history());
            assertNull(result.out());
        }
        assertFalse(Files.exists(out));
    }

    @Test
    void secondEndsAtOnce() throws IOException, InterruptedException {
        Path out = folder.resolve("run");
        Process process = start(out);
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(process.getErrorStream()))) {
            await(lines, "epoch 1/");
            interrupt(process);
            interrupt(process);
            assertTrue(process.waitFor(1, TimeUnit.MINUTES));
            assertEquals(ExitCode.INTERRUPTED, process.exitValue());
        } finally {
            process.destroyForcibly();
        }
        // whichever came first, a result is there whole or not at all
        assertFalse(Files.exists(out) && Invocation.of("inspect", out).code() != 0);
    }
}
