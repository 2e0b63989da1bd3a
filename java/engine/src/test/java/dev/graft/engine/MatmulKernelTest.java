package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.ShortPointer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class MatmulKernelTest {
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

    /** By the definition, in double. */
    private static double[] byHand(int m, int n, int k, boolean ta, boolean tb, float[] a, float[] b) {
        double[] c = new double[m * n];
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                for (int l = 0; l < k; l++) {
                    c[i * n + j] += (double) a[ta ? l * m + i : i * k + l] * b[tb ? j * k + l : l * n + j];
                }
            }
        }
        return c;
    }

    private static void assertNear(double[] expected, float[] actual, int k) {
        for (int i = 0; i < expected.length; i++) {
            // k terms of size 1, each rounded and added in F32
            assertEquals(expected[i], actual[i], 2e-7 * Math.sqrt(k) * (Math.abs(expected[i]) + Math.sqrt(k)), "element " + i);
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "7, 5, 3", "33, 17, 65", "130, 70, 257"})
    void equalsTheDefinitionForEveryMemoryAndLayout(int m, int n, int k) {
        float[] a = DirectMemory.normal("a", m * k);
        float[] b = DirectMemory.normal("b", k * n);
        for (DirectMemory kind : DirectMemory.values()) {
            for (int layout = 0; layout < 4; layout++) {
                Matmul product = Matmul.of(m, n, k);
                product = layout % 2 == 1 ? product.transposeA() : product;
                product = layout / 2 == 1 ? product.transposeB() : product;
                DirectMemory.Floats c = kind.floats(new float[m * n]);
                kernels.matmul(product, kind.floats(a).memory(), kind.floats(b).memory(), c.memory());
                assertNear(byHand(m, n, k, layout % 2 == 1, layout / 2 == 1, a, b), c.read(), k);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Activation.class)
    void theEpilogueIsAppliedInItsOrder(Activation activation) {
        int m = 13;
        int n = 21;
        int k = 9;
        float[] a = DirectMemory.normal("a", m * k);
        float[] b = DirectMemory.normal("b", k * n);
        float[] bias = DirectMemory.normal("bias", n);
        float[] residual = DirectMemory.normal("residual", m * n);
        float[] before = DirectMemory.normal("before", m * n);
        double[] expected = byHand(m, n, k, false, false, a, b);
        for (int i = 0; i < expected.length; i++) {
            expected[i] = apply(activation, -0.5 * expected[i] + bias[i % n] + residual[i] + before[i]);
        }
        float[] c = before.clone();
        Matmul product = Matmul.of(m, n, k).factor(-0.5).bias(Memory.of(bias)).residual(Memory.of(residual)).accumulate();
        kernels.matmul(product.activation(activation), Memory.of(a), Memory.of(b), Memory.of(c));
        assertNear(expected, c, k);
    }

    private static double apply(Activation activation, double x) {
        return switch (activation) {
            case NONE -> x;
            case RELU -> Math.max(x, 0);
            case SIGMOID -> 1 / (1 + Math.exp(-x));
            case GELU -> x * (x < 0 ? 0.5 * erfc(-x / Math.sqrt(2)) : 1 - 0.5 * erfc(x / Math.sqrt(2)));
            case GELU_TANH -> 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
            case SILU -> x / (1 + Math.exp(-x));
        };
    }

    /** erfc(x) = 2 / sqrt(pi) times the integral of exp(-t * t) from x to 9, by Simpson's rule. */
    private static double erfc(double x) {
        int steps = 4000;
        double h = (9 - x) / steps;
        double sum = Math.exp(-x * x);
        for (int i = 1; i < steps; i++) {
            double t = x + i * h;
            sum += (i % 2 == 1 ? 4 : 2) * Math.exp(-t * t);
        }
        return 2 / Math.sqrt(Math.PI) * sum * h / 3;
    }

    @Test
    void headsOfOneRowAreABatch() {
        // scores[h] = q[h] k[h]^T / sqrt(d) of q and k [t, heads * d], as attention has them
        int t = 6;
        int heads = 3;
        int d = 5;
        float[] q = DirectMemory.normal("q", t * heads * d);
        float[] k = DirectMemory.normal("k", t * heads * d);
        float[] scores = new float[heads * t * t];
        double factor = 1 / Math.sqrt(d);
        kernels.matmul(Matmul.of(t, t, d).transposeB().factor(factor).rows(heads * d, heads * d, 0).batch(heads, d, d, t * t),
                Memory.of(q), Memory.of(k), Memory.of(scores));
        for (int i = 0; i < scores.length; i++) {
            int h = i / (t * t);
            double sum = 0;
            for (int l = 0; l < d; l++) {
                sum += (double) q[i / t % t * heads * d + h * d + l] * k[i % t * heads * d + h * d + l];
            }
            assertEquals(factor * sum, scores[i], 1e-6);
        }
    }

    @Test
    void bf16OperandsGiveF32Sums() {
        org.junit.jupiter.api.Assumptions.assumeTrue(device.describe().contains("\"bf16\":true"), "no bf16 arithmetic here");
        float[] a = {1, 2, 3, 4};
        float[] b = {0.5f, -1, 0, 2};
        float[] c = new float[4];
        try (ShortPointer x = bf16(a); ShortPointer y = bf16(b)) {
            kernels.matmul(Matmul.of(2, 2, 2), Memory.of(x, DType.BF16), Memory.of(y, DType.BF16), Memory.of(c));
        }
        assertArrayEquals(new float[] {0.5f, 3, 1.5f, 5}, c);
    }

    private static ShortPointer bf16(float[] values) {
        ShortPointer p = new ShortPointer(values.length);
        for (int i = 0; i < values.length; i++) {
            p.put(i, (short) (Float.floatToRawIntBits(values[i]) >>> 16));
        }
        return p;
    }

    private static void refuses(String message, Matmul product, Memory a, Memory b, Memory c) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> kernels.matmul(product, a, b, c));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    @Test
    void wrongSizesAreNamed() {
        Memory six = Memory.of(new float[6]);
        Memory four = Memory.of(new float[4]);
        Matmul product = Matmul.of(2, 3, 2);
        refuses("a: 6 elements of f32 are needed, 4 came", Matmul.of(2, 2, 3), four, six, Memory.of(new float[4]));
        refuses("b: 6 elements of f32 are needed, 4 came", product, four, Memory.of(new float[4]), six);
        refuses("c: 6 elements of f32 are needed, 4 came", product, four, six, Memory.of(new float[4]));
        refuses("m is 0; expected 1 to 2^40", Matmul.of(0, 3, 2), four, six, Memory.of(new float[6]));
        refuses("k is -2; expected 1", Matmul.of(2, 3, -2), four, six, Memory.of(new float[6]));
        refuses("are more than 2^40", Matmul.of(1L << 40, 1L << 40, 1L << 40), four, six, Memory.of(new float[6]));
        refuses("c: its rows are 3 long, but 2 elements apart", product.rows(0, 0, 2), four, six, Memory.of(new float[6]));
        refuses("matrices of 2 rows lie 0 elements apart", product.batch(2, 0, 0, 0), four, six, Memory.of(new float[12]));
        refuses("factor is nan", product.factor(Double.NaN), four, six, Memory.of(new float[6]));
        refuses("bias: 3 elements of f32 are needed, 2 came", product.bias(Memory.of(new float[2])), four, six, Memory.of(new float[6]));
        refuses("residual: 6 elements", product.residual(four), Memory.of(new float[4]), six, Memory.of(new float[6]));
        refuses("b is I32; expected [F32, BF16]", product, four, Memory.of(new int[6]), Memory.of(new float[6]));
        assertEquals("a", assertThrows(NullPointerException.class, () -> kernels.matmul(product, null, six, six)).getMessage());
        assertThrows(IllegalArgumentException.class, () -> product.batch(2, -1, 0, 0));
    }

    @Test
    void whatIsWrittenMayNotOverlap() {
        Matmul product = Matmul.of(2, 2, 2);
        float[] array = new float[16];
        Memory other = Memory.of(new float[4]);
        refuses("c overlaps another operand: elements 2 to 6 and 0 to 4", product, Memory.of(array, 0, 4), other, Memory.of(array, 2, 4));
        refuses("c overlaps a", product, Memory.of(array, 0, 4), other, Memory.of(array, 0, 4));
        try (FloatPointer p = new FloatPointer(16)) {
            refuses("c overlaps b", product, other, Memory.at(p.address(), 4), Memory.at(p.address() + 12, 4));
            refuses("c overlaps residual", product.residual(Memory.at(p.address() + 4, 4)), other, Memory.of(new float[4]),
                    Memory.at(p.address(), 4));
        }
        kernels.matmul(product, Memory.of(array, 0, 4), Memory.of(array, 4, 4), Memory.of(array, 8, 4));
        float[] sum = {1, 2, 3, 4};
        kernels.matmul(product.residual(Memory.of(sum)), other, Memory.of(new float[4]), Memory.of(sum));
        assertArrayEquals(new float[] {1, 2, 3, 4}, sum);
    }

    @Test
    void memoryThatNativeCodeCannotUseIsRefused() {
        FloatBuffer heap = FloatBuffer.allocate(4);
        assertEquals("memory: buffer must be direct",
                assertThrows(IllegalArgumentException.class, () -> Memory.of(heap)).getMessage());
        FloatBuffer swapped = ByteBuffer.allocateDirect(16).order(ByteOrder.BIG_ENDIAN).asFloatBuffer();
        assertTrue(assertThrows(IllegalArgumentException.class, () -> Memory.of(swapped)).getMessage().contains("byte order"));
        assertThrows(IllegalArgumentException.class, () -> Memory.at(0, 4));
        assertThrows(IllegalArgumentException.class, () -> Memory.at(64, -1));
        assertThrows(IndexOutOfBoundsException.class, () -> Memory.of(new float[4], 2, 3));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> Memory.of(new ShortPointer(4))).getMessage()
                .contains("ShortPointer"));
        Memory four = Memory.of(new float[4]);
        Matmul product = Matmul.of(2, 2, 2);
        FloatPointer closed = new FloatPointer(4);
        Memory stale = Memory.of(closed);
        closed.close();
        refuses("c: the address is null; 4 elements of f32 are needed", product, four, four, stale);
        refuses("a: the address is null", product, Memory.of(new Pointer(), DType.F32), four, four);
        try (FloatPointer p = new FloatPointer(8)) {
            refuses("is no place for f32", product, four, Memory.at(p.address() + 2, 4), Memory.of(new float[4]));
        }
        device.kernels().matmul(product, four, four, Memory.of(new float[4]));
        Kernels late;
        try (Device other = Device.open("reference", 1, 1)) {
            late = other.kernels();
            late.matmul(product, four, four, Memory.of(new float[4]));
        }
        assertEquals("device reference is closed", assertThrows(IllegalStateException.class,
                () -> late.matmul(product, four, four, Memory.of(new float[4]))).getMessage());
    }
}
