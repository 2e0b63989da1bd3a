package dev.graft.weights;

import java.util.Arrays;

/**
 * Axis orders of convolution kernels: PyTorch stores output, input, height, width (OIHW), the engine takes output, height,
 * width, input (OHWI). The conversion happens where weights are read or written and nowhere else. An axis order is an
 * array whose entry {@code i} is the source axis that becomes axis {@code i}.
 */
public final class Layout {
    private static final int[] TO_ENGINE = {0, 2, 3, 1};
    private static final int[] FROM_ENGINE = {0, 3, 1, 2};

    private Layout() {
    }

    /** The axis order from PyTorch's kernels to the engine's: {0, 2, 3, 1}. */
    public static int[] oihwToOhwi() {
        return TO_ENGINE.clone();
    }

    /** The axis order from the engine's kernels to PyTorch's: {0, 3, 1, 2}. */
    public static int[] ohwiToOihw() {
        return FROM_ENGINE.clone();
    }

    /** Sizes in the new axis order. */
    public static long[] permute(long[] dims, int... axes) {
        check(axes, dims.length);
        long[] result = new long[dims.length];
        for (int i = 0; i < axes.length; i++) {
            result[i] = dims[axes[i]];
        }
        return result;
    }

    /**
     * The elements of a row-major array in the new axis order.
     *
     * @param values row-major elements of a tensor of sizes {@code dims}; not changed
     * @param dims   sizes before the change
     * @param axes   the axis order
     */
    public static float[] permute(float[] values, long[] dims, int... axes) {
        check(axes, dims.length);
        if (StoredTensor.product(dims) != values.length) {
            throw new IllegalArgumentException(values.length + " values for sizes " + Arrays.toString(dims));
        }
        long[] from = StoredTensor.rowMajor(dims);
        Odometer source = new Odometer(permute(dims, axes), permute(from, axes));
        float[] result = new float[values.length];
        for (int i = 0; i < result.length; i++) {
            result[i] = values[(int) source.position()];
            source.next();
        }
        return result;
    }

    /** OIHW values as OHWI values; {@code dims} are O, I, H, W. */
    public static float[] toEngine(float[] oihw, long... dims) {
        return permute(oihw, dims, TO_ENGINE);
    }

    /** OHWI values as OIHW values; {@code dims} are O, H, W, I. */
    public static float[] fromEngine(float[] ohwi, long... dims) {
        return permute(ohwi, dims, FROM_ENGINE);
    }

    static void check(int[] axes, int rank) {
        int[] sorted = axes.clone();
        Arrays.sort(sorted);
        boolean right = axes.length == rank;
        for (int i = 0; right && i < rank; i++) {
            right = sorted[i] == i;
        }
        if (!right) {
            throw new IllegalArgumentException("axis order " + Arrays.toString(axes) + " does not fit " + rank + " axes");
        }
    }
}
