package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.LowRankLinear.Gradients;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class LowRankKernelTest {
    private static final double FACTOR = 0.75;
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

    /** Sizes and operands of one layer. Without adapters all rows have adapter 0, which is the only one. */
    private static final class Case {
        final int rows;
        final int in;
        final int out;
        final int rank;
        final int width;
        final int[] starts;
        final int adapters;
        final int[] adapter; // per sample
        final float[] x;
        final float[] weight;
        final float[] bias;
        final float[] a;
        final float[] b;
        final float[] dy;
        final float[] scales;

        Case(int rows, int in, int out, int rank, int width, int[] starts, int adapters, int[] adapter) {
            this.rows = rows;
            this.in = in;
            this.out = out;
            this.rank = rank;
            this.width = width;
            this.starts = starts;
            this.adapters = adapters;
            this.adapter = adapter;
            int all = Math.max(1, adapters) * starts.length;
            x = DirectMemory.normal("x", rows * in);
            weight = DirectMemory.normal("weight", out * in);
            bias = DirectMemory.normal("bias", out);
            a = DirectMemory.normal("a", all * rank * in);
            b = DirectMemory.normal("b", all * width * rank);
            dy = DirectMemory.normal("dy", rows * out);
            scales = new float[adapters];
            for (int g = 0; g < adapters; g++) {
                scales[g] = 1 + 0.5f * g;
            }
        }

        LowRankLinear layer(DirectMemory kind) {
            long[] from = new long[starts.length];
            for (int i = 0; i < from.length; i++) {
                from[i] = starts[i];
            }
            LowRankLinear layer = LowRankLinear.of(rows, in, out, rank, FACTOR).slices(width, from);
            return adapters == 0 ? layer : layer.adapters(adapters, kind.ints(adapter)).scales(kind.floats(scales).memory());
        }

        int adapterOf(int row) {
            return adapters == 0 ? 0 : adapter[row / (rows / adapter.length)];
        }

        double factorOf(int g) {
            return FACTOR * (adapters == 0 ? 1 : scales[g]);
        }

        int atA(int g, int j, int k) {
            return (g * starts.length * rank + j) * in + k;
        }

        int atB(int g, int slice, int n, int j) {
            return ((g * starts.length + slice) * width + n) * rank + j;
        }
    }

    /** y, t and the gradients by the definition, in double. */
    private static final class ByHand {
        final double[] y;
        final double[] t;
        final double[] dx;
        final double[] da;
        final double[] db;

        ByHand(Case c) {
            int pairs = c.starts.length * c.rank;
            y = new double[c.rows * c.out];
            t = new double[c.rows * pairs];
            dx = new double[c.x.length];
            da = new double[c.a.length];
            db = new double[c.b.length];
            for (int r = 0; r < c.rows; r++) {
                for (int n = 0; n < c.out; n++) {
                    y[r * c.out + n] = c.bias[n];
                    for (int k = 0; k < c.in; k++) {
                        y[r * c.out + n] += (double) c.x[r * c.in + k] * c.weight[n * c.in + k];
                        dx[r * c.in + k] += (double) c.dy[r * c.out + n] * c.weight[n * c.in + k];
                    }
                }
                if (c.adapterOf(r) >= 0) {
                    update(c, r, c.adapterOf(r), pairs);
                }
            }
        }

        private void update(Case c, int r, int g, int pairs) {
            double factor = c.factorOf(g);
            for (int j = 0; j < pairs; j++) {
                int slice = j / c.rank;
                double sum = 0;
                for (int k = 0; k < c.in; k++) {
                    sum += (double) c.x[r * c.in + k] * c.a[c.atA(g, j, k)];
                }
                t[r * pairs + j] = sum;
                double back = 0;
                for (int n = 0; n < c.width; n++) {
                    int at = r * c.out + c.starts[slice] + n;
                    double b = c.b[c.atB(g, slice, n, j % c.rank)];
                    y[at] += factor * sum * b;
                    back += factor * c.dy[at] * b;
                    db[c.atB(g, slice, n, j % c.rank)] += factor * c.dy[at] * sum;
                }
                for (int k = 0; k < c.in; k++) {
                    dx[r * c.in + k] += back * c.a[c.atA(g, j, k)];
                    da[c.atA(g, j, k)] += back * c.x[r * c.in + k];
                }
            }
        }
    }

    static Stream<Arguments> cases() {
        return Stream.of(
                Arguments.of("one", new Case(1, 1, 1, 1, 1, new int[] {0}, 0, null)),
                Arguments.of("odd", new Case(37, 29, 23, 5, 23, new int[] {0}, 0, null)),
                Arguments.of("lane", new Case(300, 130, 70, 8, 70, new int[] {0}, 0, null)),
                Arguments.of("slices", new Case(19, 24, 36, 3, 12, new int[] {0, 24}, 0, null)),
                Arguments.of("adapters", new Case(12, 9, 11, 2, 11, new int[] {0}, 3, new int[] {2, 0, -1, 2})),
                Arguments.of("adapters of slices", new Case(70, 33, 48, 4, 16, new int[] {0, 32}, 2, new int[] {1, 0, 1, -1, 0})));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void equalsTheDefinitionForEveryMemory(String name, Case c) {
        ByHand expected = new ByHand(c);
        for (DirectMemory kind : DirectMemory.values()) {
            LowRankLinear layer = c.layer(kind);
            Memory x = kind.floats(c.x).memory();
            Memory weight = kind.floats(c.weight).memory();
            Memory a = kind.floats(c.a).memory();
            Memory b = kind.floats(c.b).memory();
            DirectMemory.Floats y = kind.floats(new float[c.rows * c.out]);
            DirectMemory.Floats t = kind.floats(new float[(int) layer.sums()]);
            kernels.lowRankForward(layer.bias(kind.floats(c.bias).memory()), x, weight, a, b, y.memory(), t.memory());
            assertNear("y", expected.y, y.read());
            assertNear("t", expected.t, t.read());
            DirectMemory.Floats dx = kind.floats(new float[c.x.length]);
            DirectMemory.Floats da = kind.floats(new float[c.a.length]);
            DirectMemory.Floats db = kind.floats(new float[c.b.length]);
            Memory dy = kind.floats(c.dy).memory();
            kernels.lowRankBackward(layer, x, weight, a, b, t.memory(), dy, new Gradients(dx.memory(), da.memory(), db.memory()));
            assertNear("dx", expected.dx, dx.read());
            assertNear("da", expected.da, da.read());
            assertNear("db", expected.db, db.read());
            kernels.lowRankBackward(layer.accumulate(), x, null, null, b, t.memory(), dy, new Gradients(null, da.memory(), db.memory()));
            assertNear("2 da", twice(expected.da), da.read());
            assertNear("2 db", twice(expected.db), db.read());
        }
    }

    private static double[] twice(double[] values) {
        return Arrays.stream(values).map(v -> 2 * v).toArray();
    }

    private static void assertNear(String what, double[] expected, float[] actual) {
        double size = Math.sqrt(Arrays.stream(expected).map(v -> v * v).sum() / expected.length);
        for (int i = 0; i < expected.length; i++) {
            // sums of some hundred products of normal numbers, rounded in F32 at each
            assertEquals(expected[i], actual[i], 5e-6 * (size + Math.abs(expected[i])), what + " " + i);
        }
    }

    @Test
    void mergedEqualsUnmergedAndComesOffAgain() {
        Case c = new Case(21, 50, 36, 4, 12, new int[] {0, 24}, 0, null);
        LowRankLinear layer = c.layer(DirectMemory.ARRAY);
        Memory x = Memory.of(c.x);
        Memory a = Memory.of(c.a);
        Memory b = Memory.of(c.b);
        float[] y = new float[c.rows * c.out];
        kernels.lowRankForward(layer, x, Memory.of(c.weight), a, b, Memory.of(y), Memory.of(new float[(int) layer.sums()]));
        float[] weight = c.weight.clone();
        kernels.lowRankMerge(layer, Memory.of(weight), a, b);
        float[] merged = new float[y.length];
        kernels.matmul(Matmul.of(c.rows, c.out, c.in).transposeB(), x, Memory.of(weight), Memory.of(merged));
        assertArrayEquals(y, merged, 1e-4f);
        assertArrayEquals(Arrays.copyOfRange(c.weight, 12 * c.in, 24 * c.in),
                Arrays.copyOfRange(weight, 12 * c.in, 24 * c.in), "rows of no slice changed");
        kernels.lowRankUnmerge(layer, Memory.of(weight), a, b);
        assertArrayEquals(c.weight, weight, 4e-6f);
    }

    @Test
    void wrongArgumentsAreNamed() {
        Case c = new Case(4, 3, 6, 2, 6, new int[] {0}, 0, null);
        Memory x = Memory.of(c.x);
        Memory w = Memory.of(c.weight);
        Memory a = Memory.of(c.a);
        Memory b = Memory.of(c.b);
        Memory y = Memory.of(new float[24]);
        Memory t = Memory.of(new float[8]);
        LowRankLinear layer = LowRankLinear.of(4, 3, 6, 2, FACTOR);
        refuses("a: 6 elements of f32 are needed, 5 came", () -> kernels.lowRankForward(layer, x, w, Memory.of(new float[5]), b, y, t));
        refuses("t: 8 elements of f32 are needed, 7 came", () -> kernels.lowRankForward(layer, x, w, a, b, y, Memory.of(new float[7])));
        refuses("rank is 0", () -> kernels.lowRankForward(LowRankLinear.of(4, 3, 6, 0, 1), x, w, a, b, y, t));
        refuses("factor is nan", () -> kernels.lowRankForward(LowRankLinear.of(4, 3, 6, 2, Double.NaN), x, w, a, b, y, t));
        refuses("slices must ascend", () -> kernels.lowRankForward(layer.slices(4, 0, 3), x, w, a, b, y, t));
        refuses("slices are 0", () -> kernels.lowRankForward(layer.slices(4), x, w, a, b, y, t));
        refuses("y overlaps x", () -> kernels.lowRankForward(LowRankLinear.of(4, 3, 3, 2, 1), x, w, a, b, x, t));
        refuses("samples are 3; expected a divisor of the 4 rows",
                () -> kernels.lowRankForward(layer.adapters(1, Memory.of(new int[3])), x, w, a, b, y, t));
        refuses("adapter of sample 1 is 1; expected 0 to 0 or -1",
                () -> kernels.lowRankForward(layer.adapters(1, Memory.of(new int[] {0, 1})), x, w, a, b, y, t));
        refuses("scales are per adapter",
                () -> kernels.lowRankForward(layer.scales(Memory.of(new float[1])), x, w, a, b, y, t));
        Gradients none = new Gradients(null, null, null);
        refuses("none of dx, da and db", () -> kernels.lowRankBackward(layer, x, w, a, b, t, y, none));
        refuses("weight: the address is null", () -> kernels.lowRankBackward(layer, x, null, a, b, t, y,
                new Gradients(Memory.of(new float[12]), null, null)));
        refuses("t: the address is null", () -> kernels.lowRankBackward(layer, x, w, a, b, null, y,
                new Gradients(null, null, Memory.of(new float[12]))));
        refuses("weight: 18 elements of f32 are needed, 17 came", () -> kernels.lowRankMerge(layer, Memory.of(new float[17]), a, b));
        refuses("not 2 adapters", () -> kernels.lowRankMerge(layer.adapters(2, Memory.of(new int[2])), w, a, b));
    }

    private static void refuses(String message, Runnable call) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call::run);
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }
}
