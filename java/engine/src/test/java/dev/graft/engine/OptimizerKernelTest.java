package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.bytedeco.javacpp.ShortPointer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class OptimizerKernelTest {
    private static final double RATE = 0.03;
    private static final double DECAY = 0.2;
    private static final double ANCHOR = 0.4;
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

    static List<Optimizer> optimizers() {
        return List.of(new Optimizer.Sgd(0, false), new Optimizer.Sgd(0.9, false), new Optimizer.Sgd(0.9, true),
                new Optimizer.Adam(), new Optimizer.AdamW(0.8, 0.95, 1e-6));
    }

    /** Weights and moments after an update by the formulas, in double. */
    private static final class ByHand {
        final double[] w;
        final double[] m;
        final double[] v;

        ByHand(float[] weight) {
            w = new double[weight.length];
            m = new double[weight.length];
            v = new double[weight.length];
            for (int i = 0; i < w.length; i++) {
                w[i] = weight[i];
            }
        }

        void update(Optimizer optimizer, int number, float[] gradient, float[] anchor, boolean[] live, double factor) {
            for (int i = 0; i < w.length; i++) {
                if (!live[i]) {
                    continue;
                }
                double g = factor * gradient[i] + ANCHOR * (w[i] - anchor[i]);
                if (optimizer instanceof Optimizer.Sgd sgd) {
                    g += DECAY * w[i];
                    m[i] = sgd.momentum() * m[i] + g;
                    w[i] -= RATE * (sgd.nesterov() ? g + sgd.momentum() * m[i] : m[i]);
                } else if (optimizer instanceof Optimizer.Adam adam) {
                    adam(i, g + DECAY * w[i], number, adam.beta1(), adam.beta2(), adam.eps());
                } else if (optimizer instanceof Optimizer.AdamW adamw) {
                    w[i] *= 1 - RATE * DECAY;
                    adam(i, g, number, adamw.beta1(), adamw.beta2(), adamw.eps());
                }
            }
        }

        private void adam(int i, double g, int number, double beta1, double beta2, double eps) {
            m[i] = beta1 * m[i] + (1 - beta1) * g;
            v[i] = beta2 * v[i] + (1 - beta2) * g * g;
            w[i] -= RATE * m[i] / (1 - Math.pow(beta1, number)) / (Math.sqrt(v[i] / (1 - Math.pow(beta2, number))) + eps);
        }
    }

    @ParameterizedTest
    @MethodSource("optimizers")
    void threeUpdatesFollowTheFormulasAndLeaveTheMaskedAlone(Optimizer optimizer) {
        for (DirectMemory kind : DirectMemory.values()) {
            // below and above the size from which lanes work
            for (int columns : new int[] {3, 700}) {
                threeUpdates(optimizer, kind, 103, columns);
            }
        }
    }

    private void threeUpdates(Optimizer optimizer, DirectMemory kind, int rows, int columns) {
        int count = rows * columns;
        float[] start = DirectMemory.normal("w", count);
        float[] gradient = DirectMemory.normal("g", count);
        byte[] bits = new byte[(count + 7) / 8];
        boolean[] live = new boolean[count];
        double squares = 0;
        for (int i = 0; i < count; i++) {
            int row = i / columns;
            if (i % 5 != 1) {
                bits[i / 8] |= (byte) (1 << i % 8);
                live[i] = row >= 2 && row < 40 || row >= 90 && row < 103;
            }
            squares += live[i] ? (double) gradient[i] * gradient[i] : 0;
        }
        double norm = Math.sqrt(squares);
        ByHand expected = new ByHand(start);
        DirectMemory.Floats w = kind.floats(start);
        DirectMemory.Floats m = kind.floats(new float[count]);
        DirectMemory.Floats v = kind.floats(new float[count]);
        float[] anchor = DirectMemory.normal("anchor", count);
        OptimizerStep step = OptimizerStep.of(optimizer).rate(RATE).decay(DECAY).clip(norm / 2)
                .anchor(ANCHOR, kind.floats(anchor).memory()).mask(Memory.of(bits)).rows(columns, 2, 40).rows(columns, 90, 103);
        if (!(optimizer instanceof Optimizer.Sgd sgd)) {
            step = step.moments(m.memory(), v.memory());
        } else if (sgd.momentum() > 0) {
            step = step.momentum(m.memory());
        }
        for (int number = 1; number <= 3; number++) {
            expected.update(optimizer, number, gradient, anchor, live, 0.5);
            assertEquals(norm, kernels.optimizerStep(step.update(number), w.memory(), kind.floats(gradient).memory()), 1e-5 * norm);
        }
        assertNear(expected.w, w.read());
        assertNear(optimizer instanceof Optimizer.Sgd sgd && sgd.momentum() == 0 ? new double[count] : expected.m, m.read());
        assertNear(expected.v, v.read());
        float[] after = w.read();
        for (int i = 0; i < count; i++) {
            assertTrue(live[i] || after[i] == start[i], "masked weight " + i + " changed");
        }
    }

    private static void assertNear(double[] expected, float[] actual) {
        for (int i = 0; i < expected.length; i++) {
            // three updates of some ten roundings each; Adam's quotient magnifies those of small moments
            assertEquals(expected[i], actual[i], 1e-5 * (1 + Math.abs(expected[i])), "element " + i);
        }
    }

    @Test
    void anAverageAndACopyFollowTheLiveWeights() {
        float[] weight = {1, 2, -3, 5};
        float[] average = {0, 4, 1, 7};
        // element 2 is masked; numbers are exact in bf16 and halves of them in F32
        try (ShortPointer copy = new ShortPointer(4)) {
            copy.put(new short[] {9, 9, 9, 9}, 0, 4);
            OptimizerStep step = OptimizerStep.of(new Optimizer.Sgd(0, false)).rate(0.5).mask(Memory.of(new byte[] {0b1011}))
                    .average(0.75, Memory.of(average)).copy(Memory.of(copy, DType.BF16));
            kernels.optimizerStep(step, Memory.of(weight), Memory.of(new float[] {1, -2, 4, 3}));
            assertArrayEquals(new float[] {0.5f, 3, -3, 3.5f}, weight);
            assertArrayEquals(new float[] {0.125f, 3.75f, 1, 6.125f}, average);
            for (int i = 0; i < 4; i++) {
                assertEquals(i == 2 ? 9 : (short) (Float.floatToIntBits(weight[i]) >> 16), copy.get(i), "copy of element " + i);
            }
        }
    }

    @Test
    void wrongArgumentsAreNamed() {
        Memory w = Memory.of(new float[8]);
        Memory g = Memory.of(new float[8]);
        Memory m = Memory.of(new float[8]);
        Memory v = Memory.of(new float[8]);
        OptimizerStep sgd = OptimizerStep.of(new Optimizer.Sgd(0, false)).rate(0.1);
        OptimizerStep adam = OptimizerStep.of(new Optimizer.AdamW()).rate(0.1).moments(m, v);
        refuses("gradient: 8 elements of f32 are needed, 7 came", sgd, w, Memory.of(new float[7]));
        refuses("first: the address is null; 8 elements of f32 are needed", OptimizerStep.of(new Optimizer.Sgd(0.9, false)), w, g);
        refuses("second: 8 elements of f32 are needed, 7 came", adam.moments(m, Memory.of(new float[7])), w, g);
        refuses("first: this optimizer keeps no such moment", sgd.moments(m, v), w, g);
        refuses("rate is nan", sgd.rate(Double.NaN), w, g);
        refuses("decay is -1", sgd.decay(-1), w, g);
        refuses("clip is inf", sgd.clip(Double.POSITIVE_INFINITY), w, g);
        refuses("update is number 0", adam.update(0), w, g);
        refuses("anchor: 8 elements", sgd.anchor(1, Memory.of(new float[3])), w, g);
        refuses("mask: 1 elements of u8 are needed, 0 came", sgd.mask(Memory.of(new byte[0])), w, g);
        refuses("mask is F32; expected [U8]", sgd.mask(g), w, g);
        refuses("average is 1", sgd.average(1, m), w, g);
        refuses("average: none is kept with a decay of 0", sgd.average(0, m), w, g);
        refuses("average: 8 elements of f32 are needed, 7 came", sgd.average(0.5, Memory.of(new float[7])), w, g);
        refuses("copy is F32; expected [BF16]", sgd.copy(m), w, g);
        refuses("average overlaps weight", sgd.average(0.5, w), w, g);
        refuses("range 4 to 12", sgd.rows(4, 1, 3), w, g);
        refuses("range 0 to 4: expected ranges that ascend from 8", sgd.rows(4, 1, 2).rows(4, 0, 1), w, g);
        refuses("gradient overlaps weight", sgd, w, w);
        refuses("second overlaps first", adam.moments(m, m), w, g);
        assertThrows(IllegalArgumentException.class, () -> sgd.rows(4, 2, 2));
        assertEquals(0, kernels.optimizerStep(sgd, w, g));
    }

    private static void refuses(String message, OptimizerStep step, Memory weight, Memory gradient) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> kernels.optimizerStep(step, weight, gradient));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }
}
