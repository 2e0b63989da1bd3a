package dev.graft.golden;

import dev.graft.engine.Param;
import dev.graft.engine.Philox;
import dev.graft.model.Checkpoint;
import dev.graft.weights.Layout;
import java.util.Arrays;
import java.util.regex.Pattern;

/**
 * The formula of the golden fixtures: weights, pixels, labels and sampled indices as functions of (name, element index).
 * Stated in {@code src/test/fixtures/formula.py}; this is its twin and gives the same bits. Sizes and orders are PyTorch's
 * (OIHW, NCHW); arithmetic is double, rounded once to float.
 */
public final class WeightFormula {
    private static final Pattern BRANCH_END = Pattern.compile("layer\\d+\\.\\d+\\.bn[23]\\.weight");
    private static final int PATCH = 8;
    private static final long LOW = 0xFFFFFFFFL;

    private WeightFormula() {}

    /** A parameter or running statistic, row-major in PyTorch's order. */
    public static float[] tensor(String name, long... dims) {
        int count = Math.toIntExact(Arrays.stream(dims).reduce(1, Math::multiplyExact));
        double offset = 0;
        double factor;
        double outer = 1;
        if (name.endsWith("running_var")) {
            offset = 1;
            factor = 0.5;
        } else if (name.endsWith("running_mean") || name.endsWith("bias")) {
            factor = 0.1;
        } else if (dims.length == 1) {
            offset = 1;
            factor = 0.1;
            outer = BRANCH_END.matcher(name).matches() ? 0.3 : 1;
        } else {
            factor = Math.sqrt(6.0 / (count / dims[0]));
        }
        float[] values = new float[count];
        int[] block = new int[4];
        long key = Philox.key(0, name);
        for (int i = 0; i < count; i++) {
            values[i] = (float) (outer * (offset + factor * signed(key, 0, i, block)));
        }
        return values;
    }

    /** A parameter or running statistic of a network, row-major in the engine's order (kernels OHWI). */
    public static float[] tensor(Param parameter) {
        long[] dims = Checkpoint.torchDims(parameter);
        float[] values = tensor(parameter.name(), dims);
        return dims.length == 4 ? Layout.toEngine(values, dims) : values;
    }

    /** Pictures in the engine's order NHWC. */
    public static float[] pixels(int rows, int size, double scale, int visit) {
        int patches = (size + PATCH - 1) / PATCH;
        long fine = Philox.key(0, "input");
        long coarse = Philox.key(0, "input/coarse");
        float[] values = new float[rows * size * size * 3];
        int at = 0;
        for (int n = 0; n < rows; n++) {
            for (int y = 0; y < size; y++) {
                for (int x = 0; x < size; x++) {
                    for (int c = 0; c < 3; c++) {
                        long i = (((long) n * 3 + c) * size + y) * size + x;
                        long j = (((long) n * 3 + c) * patches + y / PATCH) * patches + x / PATCH;
                        double u = 2.0 * Philox.uniform(fine, 0, visit, i) - 1;
                        values[at++] = (float) (scale * (0.5 * u + (2.0 * Philox.uniform(coarse, 0, visit, j) - 1)));
                    }
                }
            }
        }
        return values;
    }

    /** Class numbers in [0, classes). */
    public static int[] labels(int rows, int classes, int visit) {
        long key = Philox.key(0, "label");
        int[] labels = new int[rows];
        for (int i = 0; i < rows; i++) {
            labels[i] = (int) Math.floor((double) Philox.uniform(key, 0, visit, i) * classes);
        }
        return labels;
    }

    /** Sampled element indices, in PyTorch's order, of a tensor with {@code size} elements. */
    public static int[] sample(String name, int size, int count) {
        int[] indices = new int[Math.min(size, count)];
        long key = Philox.key(0, "sample/" + name);
        for (int k = 0; k < indices.length; k++) {
            indices[k] = size <= count ? k : (int) (((Philox.bits(key, 0, 0, k) & LOW) * size) >>> 32);
        }
        return indices;
    }

    /** 2 * uniform - 1 of element i; {@code block} holds the four numbers of the last block, made anew at every fourth. */
    private static double signed(long key, int visit, int i, int[] block) {
        if ((i & 3) == 0) {
            Philox.block(key, 0, visit, i >>> 2, block);
        }
        return 2.0 * ((block[i & 3] >>> 8) * 0x1p-24) - 1;
    }
}
