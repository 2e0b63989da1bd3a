package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The linear layer with its loss inside gives what the product and the loss give one after the other. */
class LinearCrossEntropyKernelTest {
    private static final int FEATURES = 7;
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

    @ParameterizedTest
    @CsvSource({"1, 2", "5, 3", "37, 17", "64, 1025"})
    void isProductAndLoss(int rows, int classes) {
        float[] x = DirectMemory.normal("x", rows * FEATURES);
        float[] weight = DirectMemory.normal("weight", classes * FEATURES);
        float[] bias = DirectMemory.normal("bias", classes);
        int[] labels = new int[rows];
        for (int r = 0; r < rows; r++) {
            labels[r] = r % 7 == 2 ? -100 : r * 31 % classes;
        }
        float[] logits = new float[rows * classes];
        float[] dx = new float[x.length];
        float[] dw = new float[weight.length];
        float[] db = new float[classes];
        SoftmaxCrossEntropy loss = SoftmaxCrossEntropy.of(rows, classes).labelSmoothing(0.1).factor(1.5);
        kernels.matmul(Matmul.of(rows, classes, FEATURES).transposeB().bias(Memory.of(bias)), Memory.of(x), Memory.of(weight), Memory.of(logits));
        SoftmaxCrossEntropy.Loss expected = kernels.softmaxCrossEntropy(loss, Memory.of(logits), Memory.of(labels), Memory.of(logits));
        kernels.matmul(Matmul.of(rows, FEATURES, classes), Memory.of(logits), Memory.of(weight), Memory.of(dx));
        kernels.matmul(Matmul.of(classes, FEATURES, rows).transposeA(), Memory.of(logits), Memory.of(x), Memory.of(dw));
        for (int i = 0; i < logits.length; i++) {
            db[i % classes] += logits[i];
        }
        // runs of 8 rows, and all at once
        for (long bytes : new long[] {4L * 9 * classes, 1 << 20}) {
            for (DirectMemory kind : DirectMemory.values()) {
                DirectMemory.Floats in = kind.floats(x);
                DirectMemory.Floats weights = kind.floats(new float[dw.length]);
                DirectMemory.Floats biases = kind.floats(new float[db.length]);
                LinearCrossEntropy layer = LinearCrossEntropy.of(loss, FEATURES).bias(kind.floats(bias).memory()).logitsBytes(bytes);
                SoftmaxCrossEntropy.Loss found = kernels.linearCrossEntropy(layer, in.memory(), kind.floats(weight).memory(), kind.ints(labels),
                        new LinearCrossEntropy.Gradients(in.memory(), weights.memory(), biases.memory()));
                assertEquals(expected.mean(), found.mean(), 1e-6 * (1 + expected.mean()));
                assertEquals(expected.correct(), found.correct());
                assertNear(dx, in.read());
                assertNear(dw, weights.read());
                assertNear(db, biases.read());
            }
        }
    }

    private static void assertNear(float[] expected, float[] actual) {
        double largest = 0;
        for (float v : expected) {
            largest = Math.max(largest, Math.abs(v));
        }
        // sums of up to 1025 products in another order
        assertArrayEquals(expected, actual, (float) (1e-5 * largest));
    }

    @Test
    void onlyWhatIsWantedIsWrittenAndParametersAddUp() {
        float[] x = DirectMemory.normal("x", 3 * FEATURES);
        float[] weight = DirectMemory.normal("weight", 4 * FEATURES);
        float[] gradient = new float[4 * FEATURES];
        Memory labels = Memory.of(new int[] {0, 3, 1});
        LinearCrossEntropy layer = LinearCrossEntropy.of(SoftmaxCrossEntropy.of(3, 4), FEATURES);
        LinearCrossEntropy.Gradients ofWeight = new LinearCrossEntropy.Gradients(null, Memory.of(gradient), null);
        kernels.linearCrossEntropy(layer, Memory.of(x), Memory.of(weight), labels, ofWeight);
        float[] once = gradient.clone();
        kernels.linearCrossEntropy(layer.accumulate(), Memory.of(x), Memory.of(weight), labels, ofWeight);
        for (int i = 0; i < once.length; i++) {
            assertEquals(2 * once[i], gradient[i], 1e-6);
        }
        assertTrue(Arrays.equals(x, DirectMemory.normal("x", 3 * FEATURES)), "x changed");
    }

    @Test
    void wrongArgumentsAreNamed() {
        SoftmaxCrossEntropy loss = SoftmaxCrossEntropy.of(2, 3);
        LinearCrossEntropy layer = LinearCrossEntropy.of(loss, 2);
        Memory x = Memory.of(new float[4]);
        Memory weight = Memory.of(new float[6]);
        Memory labels = Memory.of(new int[] {0, 2});
        LinearCrossEntropy.Gradients none = new LinearCrossEntropy.Gradients(null, null, null);
        refuses("x: 4 elements of f32 are needed, 3 came", layer, Memory.of(new float[3]), weight, labels, none);
        refuses("weight: 6 elements of f32 are needed, 4 came", layer, x, Memory.of(new float[4]), labels, none);
        refuses("bias: 3 elements of f32 are needed, 2 came", layer.bias(Memory.of(new float[2])), x, weight, labels, none);
        refuses("label of row 1 is 3; expected 0 to 2 or -100", layer, x, weight, Memory.of(new int[] {0, 3}), none);
        refuses("target: 6 elements of f32 are needed, 2 came", layer, x, weight, Memory.of(new float[2]), none);
        refuses("dbias is given, but there is no bias", layer, x, weight, labels,
                new LinearCrossEntropy.Gradients(null, null, Memory.of(new float[3])));
        refuses("features is 0", LinearCrossEntropy.of(loss, 0), x, weight, labels, none);
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> layer.logitsBytes(0));
        assertEquals("logits bytes are 0; expected at least 1", e.getMessage());
    }

    private static void refuses(String message, LinearCrossEntropy layer, Memory x, Memory weight, Memory target,
            LinearCrossEntropy.Gradients gradients) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class,
                () -> kernels.linearCrossEntropy(layer, x, weight, target, gradients));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }
}
