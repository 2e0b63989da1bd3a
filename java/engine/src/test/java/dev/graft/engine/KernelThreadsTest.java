package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

/** The direct kernels from many threads: the same bits, a fixed number of native threads, no memory that grows. */
class KernelThreadsTest {
    private static final int THREADS = 12;

    /** One product, one loss and one update of a size; returns everything that they wrote. */
    private static float[] all(Kernels kernels, int rows, int classes, int inner) {
        float[] logits = new float[rows * classes];
        float[] weight = DirectMemory.normal("w", classes * inner);
        float[] gradient = new float[classes * inner];
        float[] x = DirectMemory.normal("x", rows * inner);
        int[] labels = new int[rows];
        for (int r = 0; r < rows; r++) {
            labels[r] = r * 7 % classes;
        }
        kernels.matmul(Matmul.of(rows, classes, inner).transposeB(), Memory.of(x), Memory.of(weight), Memory.of(logits));
        SoftmaxCrossEntropy.Loss loss = kernels.softmaxCrossEntropy(
                SoftmaxCrossEntropy.of(rows, classes), Memory.of(logits), Memory.of(labels), Memory.of(logits));
        kernels.matmul(Matmul.of(classes, inner, rows).transposeA(), Memory.of(logits), Memory.of(x), Memory.of(gradient));
        kernels.optimizerStep(OptimizerStep.of(new Optimizer.Sgd(0, false)).rate(0.1), Memory.of(weight), Memory.of(gradient));
        float[] result = Arrays.copyOf(weight, weight.length + 1);
        result[weight.length] = (float) loss.mean();
        return result;
    }

    @Test
    void manyThreadsGetTheSameBitsOnTheThreadsOfTheDevice() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(THREADS);
        int[][] sizes = {{4, 3, 5}, {33, 17, 9}, {300, 40, 130}};
        try (Device device = Device.open("cpu", 2, 2)) {
            Kernels kernels = device.kernels();
            List<float[]> expected = new ArrayList<>();
            for (int[] s : sizes) {
                expected.add(all(kernels, s[0], s[1], s[2]));
            }
            List<Callable<Void>> work = new ArrayList<>();
            for (int t = 0; t < THREADS; t++) {
                int first = t;
                work.add(() -> {
                    for (int i = 0; i < 30; i++) {
                        int[] s = sizes[(first + i) % sizes.length];
                        assertArrayEquals(expected.get((first + i) % sizes.length), all(kernels, s[0], s[1], s[2]));
                    }
                    return null;
                });
            }
            finish(pool, work);
            // Callers never get a team of their own: of the pool's threads each would have one more.
            int before = nativeThreads();
            finish(pool, work);
            assertTrue(nativeThreads() <= before + 2, before + " threads became " + nativeThreads());
        } finally {
            pool.shutdownNow();
        }
    }

    private static void finish(ExecutorService pool, List<Callable<Void>> work) throws Exception {
        for (Future<Void> f : pool.invokeAll(work)) {
            f.get();
        }
    }

    @Test
    void memoryStaysFlat() throws IOException {
        try (Device device = Device.open("cpu", 1, 1)) {
            Kernels kernels = device.kernels();
            // more sizes than kernels are kept for
            long early = 0;
            for (int round = 0; round < 6; round++) {
                for (int size = 1; size <= 150; size++) {
                    all(kernels, size, 3 + size % 5, 7);
                }
                for (int i = 0; i < 20; i++) {
                    all(kernels, 300, 40, 130);
                }
                early = round == 2 ? resident() : early;
            }
            long late = resident();
            // What is prepared for one size takes some 20 kB: 3 rounds of 450 that were not freed would be 27 MB.
            assertTrue(late - early < 12 << 20, "resident memory grew from " + early + " to " + late);
        }
    }

    @Test
    void threadsThatComeAndGoLeaveNothing() throws Exception {
        try (Device device = Device.open("cpu", 1, 1)) {
            Kernels kernels = device.kernels();
            float[] expected = all(kernels, 33, 17, 9);
            long early = 0;
            for (int i = 0; i < 600; i++) {
                float[][] got = new float[1][];
                Thread thread = new Thread(() -> got[0] = all(kernels, 33, 17, 9));
                thread.start();
                thread.join();
                assertArrayEquals(expected, got[0]);
                early = i == 300 ? resident() : early;
            }
            assertTrue(resident() - early < 8 << 20, "resident memory grew from " + early + " to " + resident());
        }
    }

    private static int nativeThreads() throws IOException {
        try (var tasks = Files.list(Path.of("/proc/self/task"))) {
            return (int) tasks.count();
        }
    }

    private static long resident() throws IOException {
        System.gc();
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("RssAnon:")) {
                return Long.parseLong(line.replaceAll("\\D", "")) << 10;
            }
        }
        throw new IllegalStateException("/proc/self/status has no line RssAnon");
    }
}
