package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.bytedeco.javacpp.FloatPointer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SoftmaxCrossEntropyKernelTest {
    private static final int IGNORED = -100;
    private static Device device;
    private static Kernels kernels;

    @BeforeAll
    static void open() {
        device = Device.open("cpu", 2, 1);
        kernels = device.kernels();
    }

    @AfterAll
    static void close() {
        device.close();
    }

    /** Loss, correct rows and gradient by the definition, in double. */
    private static final class ByHand {
        double loss;
        double correct;
        final double[] gradient;

        /** {@code share[r][k]} is w[k] q[k] of row r, null where the row does not count. */
        ByHand(float[] logits, double[][] share, int[] best, double divisor) {
            int classes = logits.length / share.length;
            gradient = new double[logits.length];
            for (int r = 0; r < share.length; r++) {
                if (share[r] == null) {
                    continue;
                }
                double sum = 0;
                int largest = 0;
                for (int k = 0; k < classes; k++) {
                    sum += Math.exp(logits[r * classes + k]);
                    largest = logits[r * classes + k] > logits[r * classes + largest] ? k : largest;
                }
                correct += largest == best[r] ? 1 : 0;
                double shares = Arrays.stream(share[r]).sum();
                for (int k = 0; k < classes; k++) {
                    double p = Math.exp(logits[r * classes + k]) / sum;
                    loss -= share[r][k] * Math.log(p) / divisor;
                    gradient[r * classes + k] = (p * shares - share[r][k]) / divisor;
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "5, 3", "33, 17", "64, 1025", "3, 20000"})
    void labelsWithSmoothingWeightsAndIgnoredRows(int rows, int classes) {
        float[] logits = DirectMemory.normal("logits", rows * classes);
        float[] weights = new float[classes];
        int[] labels = new int[rows];
        double smoothing = 0.1;
        double divisor = 0;
        double[][] share = new double[rows][];
        for (int k = 0; k < classes; k++) {
            weights[k] = 0.5f + k % 3;
        }
        for (int r = 0; r < rows; r++) {
            labels[r] = r % 7 == 2 ? IGNORED : r * 31 % classes;
            if (labels[r] == IGNORED) {
                continue;
            }
            divisor += weights[labels[r]];
            share[r] = new double[classes];
            for (int k = 0; k < classes; k++) {
                share[r][k] = weights[k] * ((1 - smoothing) * (k == labels[r] ? 1 : 0) + smoothing / classes);
            }
        }
        ByHand expected = new ByHand(logits, share, labels, divisor);
        for (DirectMemory kind : DirectMemory.values()) {
            for (boolean inPlace : new boolean[] {false, true}) {
                DirectMemory.Floats x = kind.floats(logits);
                DirectMemory.Floats gradient = inPlace ? x : kind.floats(new float[logits.length]);
                SoftmaxCrossEntropy loss = SoftmaxCrossEntropy.of(rows, classes).labelSmoothing(smoothing)
                        .classWeights(kind.floats(weights).memory());
                assertNear(expected, kernels.softmaxCrossEntropy(loss, x.memory(), kind.ints(labels), gradient.memory()),
                        gradient.read(), 1);
                assertTrue(inPlace || Arrays.equals(logits, x.read()), "the logits changed");
            }
        }
    }

    private static void assertNear(ByHand expected, SoftmaxCrossEntropy.Loss loss, float[] gradient, double factor) {
        assertEquals(expected.loss, loss.mean(), 1e-6 * (1 + Math.abs(expected.loss)));
        assertEquals(expected.correct, loss.correct());
        double largest = Arrays.stream(expected.gradient).map(Math::abs).max().orElse(0);
        for (int i = 0; i < gradient.length; i++) {
            // exponentials are 4e-7 off at most, relatively
            assertEquals(factor * expected.gradient[i], gradient[i], 2e-6 * factor * largest, "gradient " + i);
        }
    }

    @Test
    void probabilitiesFactorAndNormalizer() {
        int rows = 9;
        int classes = 5;
        float[] logits = DirectMemory.normal("logits", rows * classes);
        float[] q = new float[rows * classes];
        double[][] share = new double[rows][classes];
        int[] best = new int[rows];
        for (int r = 0; r < rows; r++) {
            best[r] = r % classes;
            for (int k = 0; k < classes; k++) {
                q[r * classes + k] = k == best[r] ? 0.6f : 0.1f;
                share[r][k] = q[r * classes + k];
            }
        }
        float[] gradient = new float[rows * classes];
        SoftmaxCrossEntropy plain = SoftmaxCrossEntropy.of(rows, classes);
        assertNear(new ByHand(logits, share, best, rows),
                kernels.softmaxCrossEntropy(plain, Memory.of(logits), Memory.of(q), Memory.of(gradient)), gradient, 1);
        assertNear(new ByHand(logits, share, best, 32), kernels.softmaxCrossEntropy(plain.normalizer(32).factor(2.5),
                Memory.of(logits), Memory.of(q), Memory.of(gradient)), gradient, 2.5);
        float[] same = logits.clone();
        SoftmaxCrossEntropy.Loss without = kernels.softmaxCrossEntropy(plain, Memory.of(same), Memory.of(q), null);
        assertEquals(new ByHand(logits, share, best, rows).loss, without.mean(), 1e-6);
        assertArrayEquals(logits, same);
    }

    @Test
    void nothingToCountIsNoNumber() {
        float[] gradient = new float[6];
        SoftmaxCrossEntropy.Loss loss = kernels.softmaxCrossEntropy(SoftmaxCrossEntropy.of(2, 3).ignoring(7),
                Memory.of(new float[6]), Memory.of(new int[] {7, 7}), Memory.of(gradient));
        assertTrue(Double.isNaN(loss.mean()));
        assertArrayEquals(new float[6], gradient);
    }

    @Test
    void wrongArgumentsAreNamedAndNothingIsWritten() {
        SoftmaxCrossEntropy loss = SoftmaxCrossEntropy.of(2, 3);
        Memory six = Memory.of(new float[6]);
        Memory labels = Memory.of(new int[] {0, 2});
        float[] before = {1, 2, 3, 4, 5, 6};
        float[] inPlace = before.clone();
        refuses("label of row 1 is 3; expected 0 to 2 or -100", loss, Memory.of(inPlace), Memory.of(new int[] {0, 3}), Memory.of(inPlace));
        assertArrayEquals(before, inPlace);
        refuses("label of row 0 is -1", loss, six, Memory.of(new int[] {-1, 0}), null);
        refuses("logits: 6 elements of f32 are needed, 5 came", loss, Memory.of(new float[5]), labels, null);
        refuses("target: 2 elements of i32 are needed, 1 came", loss, six, Memory.of(new int[1]), null);
        refuses("target: 6 elements of f32 are needed, 2 came", loss, six, Memory.of(new float[2]), null);
        refuses("target is U8; expected [I32, F32]", loss, six, Memory.of(new byte[2]), null);
        refuses("gradient: 6 elements of f32 are needed, 5 came", loss, six, labels, Memory.of(new float[5]));
        refuses("class_weight: 3 elements of f32 are needed, 2 came", loss.classWeights(Memory.of(new float[2])), six, labels, null);
        refuses("label smoothing is 1.5; expected 0 to 1", loss.labelSmoothing(1.5), six, labels, null);
        refuses("label smoothing is nan", loss.labelSmoothing(Double.NaN), six, labels, null);
        refuses("factor is inf", loss.factor(Double.POSITIVE_INFINITY), six, labels, null);
        refuses("normalizer is -1", loss.normalizer(-1), six, labels, null);
        refuses("classes is 0", SoftmaxCrossEntropy.of(2, 0), six, labels, null);
        try (FloatPointer p = new FloatPointer(16)) {
            refuses("gradient overlaps logits", loss, Memory.at(p.address(), 6), labels, Memory.at(p.address() + 4, 6));
            refuses("gradient overlaps target", loss, six, Memory.at(p.address(), 6), Memory.at(p.address(), 6));
        }
    }

    private static void refuses(String message, SoftmaxCrossEntropy loss, Memory logits, Memory target, Memory gradient) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class,
                () -> kernels.softmaxCrossEntropy(loss, logits, target, gradient));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }
}
