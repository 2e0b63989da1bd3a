package dev.graft.weights;

import dev.graft.engine.Kernels;
import dev.graft.engine.LowRankLinear;
import dev.graft.engine.Memory;

/** An update of low rank added to a weight, or subtracted. */
public final class LowRankSum {
    private LowRankSum() {
    }

    /**
     * {@code weight += sign * factor * B A} on the slices of an update, in place, in one pass of the engine.
     *
     * @param update sizes, factor and slices; its rows do not matter
     * @param weight [out][in]
     * @param a [slices * rank][in]
     * @param b [slices * width][rank]
     * @param sign 1 adds, -1 subtracts: what was added before is gone then, to two roundings of F32
     * @return the largest change of an element
     */
    public static double add(Kernels kernels, LowRankLinear update, float[] weight, float[] a, float[] b, int sign) {
        float[] before = weight.clone();
        if (sign > 0) {
            kernels.lowRankMerge(update, Memory.of(weight), Memory.of(a), Memory.of(b));
        } else {
            kernels.lowRankUnmerge(update, Memory.of(weight), Memory.of(a), Memory.of(b));
        }
        double largest = 0;
        for (int i = 0; i < weight.length; i++) {
            largest = Math.max(largest, Math.abs((double) weight[i] - before[i]));
        }
        return largest;
    }
}
