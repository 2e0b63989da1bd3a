package dev.graft.example;

import dev.graft.engine.Device;
import dev.graft.engine.Kernels;
import dev.graft.engine.LowRankLinear;
import dev.graft.engine.Matmul;
import dev.graft.engine.Memory;
import dev.graft.engine.Optimizer;
import dev.graft.engine.OptimizerStep;
import dev.graft.engine.Philox;
import dev.graft.engine.SoftmaxCrossEntropy;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * A linear classifier by the engine's kernels alone, on memory of this class: no graph, no plan. It is trained with a mask
 * that keeps the last features at weight 0, then adapted to data in which two pairs of classes have changed places by a
 * low-rank update of its frozen weight, which is merged in the end. Fails where something is not as it must be.
 */
public final class DirectClassifier {
    private static final int CLASSES = 7;
    private static final int FEATURES = 40;
    private static final int LIVE = 32; // the other features are masked
    private static final int ROWS = 350;
    private static final int STEPS = 150;
    private static final int RANK = 2;
    private static final double RATE = 0.05;
    private static final long SEED = 3;

    private DirectClassifier() {}

    /** Trains, adapts and reports; no arguments. */
    public static void main(String[] args) {
        try (Device device = Device.open("cpu")) {
            Kernels kernels = device.kernels();
            int[] labels = new int[ROWS];
            Arrays.setAll(labels, row -> row % CLASSES);
            int[] swapped = Arrays.stream(labels).map(c -> c < 4 ? c ^ 1 : c).toArray();
            float[] x = rows("training", labels);
            float[] weight = new float[CLASSES * FEATURES];
            train(kernels, x, labels, weight);
            for (int i = 0; i < weight.length; i++) {
                check(i % FEATURES < LIVE || weight[i] == 0, "a masked weight has moved");
            }
            float[] fresh = rows("test", labels);
            double trained = accuracy(logits(kernels, fresh, weight), labels);
            double before = accuracy(logits(kernels, fresh, weight), swapped);

            float[] frozen = weight.clone();
            Adapter adapter = new Adapter();
            adapter.train(kernels, x, swapped, weight);
            check(Arrays.equals(frozen, weight), "the frozen weight has changed");
            FloatBuffer inside = adapter.logits(kernels, fresh, weight);
            kernels.lowRankMerge(adapter.layer, Memory.of(weight), adapter.a, adapter.b);
            float[] merged = logits(kernels, fresh, weight);
            for (int i = 0; i < merged.length; i++) {
                check(Math.abs(merged[i] - inside.get(i)) <= 1e-4 * (1 + Math.abs(merged[i])), "merging has changed the logits");
            }
            double after = accuracy(merged, swapped);
            System.out.printf("%s%naccuracy %.3f; with classes swapped %.3f, adapted by %d numbers of %d %.3f%n",
                    device, trained, before, RANK * (CLASSES + FEATURES), weight.length, after);
            check(trained > 0.9 && before < 0.6 && after > 0.9, "the classifier has not learned");
        }
    }

    /** AdamW on all weights but the masked ones; the memory is arrays. */
    private static void train(Kernels kernels, float[] x, int[] labels, float[] weight) {
        float[] logits = new float[ROWS * CLASSES];
        float[] gradient = new float[weight.length];
        byte[] live = new byte[(weight.length + 7) / 8];
        for (int i = 0; i < weight.length; i++) {
            live[i / 8] |= (byte) (i % FEATURES < LIVE ? 1 << i % 8 : 0);
        }
        OptimizerStep step = OptimizerStep.of(new Optimizer.AdamW()).rate(RATE).decay(0.01).mask(Memory.of(live))
                .moments(Memory.of(new float[weight.length]), Memory.of(new float[weight.length]));
        SoftmaxCrossEntropy loss = SoftmaxCrossEntropy.of(ROWS, CLASSES).labelSmoothing(0.05);
        Matmul forward = Matmul.of(ROWS, CLASSES, FEATURES).transposeB(); // x weight'
        Matmul backward = Matmul.of(CLASSES, FEATURES, ROWS).transposeA(); // gradient of the logits' x
        for (int number = 1; number <= STEPS; number++) {
            kernels.matmul(forward, Memory.of(x), Memory.of(weight), Memory.of(logits));
            double mean = kernels.softmaxCrossEntropy(loss, Memory.of(logits), Memory.of(labels), Memory.of(logits)).mean();
            kernels.matmul(backward, Memory.of(logits), Memory.of(x), Memory.of(gradient));
            kernels.optimizerStep(step.update(number), Memory.of(weight), Memory.of(gradient));
            check(Double.isFinite(mean), "the loss is no number");
        }
    }

    /** A low-rank update of the weight, in direct buffers. */
    private static final class Adapter {
        final LowRankLinear layer = LowRankLinear.of(ROWS, FEATURES, CLASSES, RANK, 1);
        final Memory a = Memory.of(direct(RANK * FEATURES).put(0, normal("a", RANK * FEATURES, 0.2f)));
        final Memory b = Memory.of(direct(CLASSES * RANK)); // zero: the update begins as nothing
        final Memory t = Memory.of(direct(ROWS * RANK));
        final FloatBuffer logits = direct(ROWS * CLASSES);

        FloatBuffer logits(Kernels kernels, float[] x, float[] weight) {
            kernels.lowRankForward(layer, Memory.of(x), Memory.of(weight), a, b, Memory.of(logits), t);
            return logits;
        }

        void train(Kernels kernels, float[] x, int[] labels, float[] weight) {
            Memory da = Memory.of(direct(RANK * FEATURES));
            Memory db = Memory.of(direct(CLASSES * RANK));
            OptimizerStep ofA = step(da.count());
            OptimizerStep ofB = step(db.count());
            SoftmaxCrossEntropy loss = SoftmaxCrossEntropy.of(ROWS, CLASSES);
            for (int number = 1; number <= STEPS; number++) {
                Memory y = Memory.of(logits(kernels, x, weight));
                kernels.softmaxCrossEntropy(loss, y, Memory.of(labels), y);
                // nobody wants the gradient of x, so the weight is not read
                kernels.lowRankBackward(layer, Memory.of(x), null, null, b, t, y, new LowRankLinear.Gradients(null, da, db));
                kernels.optimizerStep(ofA.update(number), a, da);
                kernels.optimizerStep(ofB.update(number), b, db);
            }
        }

        private static OptimizerStep step(long count) {
            return OptimizerStep.of(new Optimizer.AdamW()).rate(RATE).clip(1)
                    .moments(Memory.of(direct((int) count)), Memory.of(direct((int) count)));
        }
    }

    private static float[] logits(Kernels kernels, float[] x, float[] weight) {
        float[] logits = new float[ROWS * CLASSES];
        kernels.matmul(Matmul.of(ROWS, CLASSES, FEATURES).transposeB(), Memory.of(x), Memory.of(weight), Memory.of(logits));
        return logits;
    }

    private static double accuracy(float[] logits, int[] labels) {
        int right = 0;
        for (int row = 0; row < ROWS; row++) {
            int best = 0;
            for (int c = 1; c < CLASSES; c++) {
                best = logits[row * CLASSES + c] > logits[row * CLASSES + best] ? c : best;
            }
            right += best == labels[row] ? 1 : 0;
        }
        return (double) right / ROWS;
    }

    /** The mean of each row's class, and noise. */
    private static float[] rows(String name, int[] labels) {
        float[] means = normal("means", CLASSES * FEATURES, 1);
        float[] x = normal(name, ROWS * FEATURES, 1);
        for (int i = 0; i < x.length; i++) {
            x[i] += means[labels[i / FEATURES] * FEATURES + i % FEATURES];
        }
        return x;
    }

    private static float[] normal(String name, int count, float deviation) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = deviation * Philox.normal(Philox.key(SEED, name), 0, 0, i);
        }
        return values;
    }

    private static FloatBuffer direct(int count) {
        return ByteBuffer.allocateDirect(count * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }
}
