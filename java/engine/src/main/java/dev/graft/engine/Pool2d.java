package dev.graft.engine;

import java.util.Map;
import java.util.TreeMap;

/**
 * Attributes of a two-dimensional pooling window. Start from {@link #of} and derive:
 * {@code Pool2d.of(3).stride(2).pad(1)}.
 *
 * @param kernelH rows of the window
 * @param kernelW columns of the window
 * @param strideH rows per step
 * @param strideW columns per step
 * @param padTop rows of padding above
 * @param padLeft columns of padding to the left
 * @param padBottom rows of padding below
 * @param padRight columns of padding to the right
 * @param ceilMode whether a last window that is only partly inside counts, as in PyTorch
 * @param countPadding average only: whether padding counts in the divisor
 */
public record Pool2d(int kernelH, int kernelW, int strideH, int strideW, int padTop, int padLeft, int padBottom,
        int padRight, boolean ceilMode, boolean countPadding) {
    /** A square window, stride equal to its size, no padding; padding counts in averages, as PyTorch's default. */
    public static Pool2d of(int kernel) {
        return new Pool2d(kernel, kernel, kernel, kernel, 0, 0, 0, 0, false, true);
    }

    /** The same with this stride in both directions. */
    public Pool2d stride(int s) {
        return new Pool2d(kernelH, kernelW, s, s, padTop, padLeft, padBottom, padRight, ceilMode, countPadding);
    }

    /** The same with this padding on all four sides. */
    public Pool2d pad(int pad) {
        return pad(pad, pad, pad, pad);
    }

    /** The same with these paddings. */
    public Pool2d pad(int top, int left, int bottom, int right) {
        return new Pool2d(kernelH, kernelW, strideH, strideW, top, left, bottom, right, ceilMode, countPadding);
    }

    /** The same in ceil mode or not. */
    public Pool2d ceilMode(boolean on) {
        return new Pool2d(kernelH, kernelW, strideH, strideW, padTop, padLeft, padBottom, padRight, on, countPadding);
    }

    /** The same with padding counted in averages or not. */
    public Pool2d countPadding(boolean on) {
        return new Pool2d(kernelH, kernelW, strideH, strideW, padTop, padLeft, padBottom, padRight, ceilMode, on);
    }

    Map<String, Double> attributes(boolean average) {
        Map<String, Double> map = new TreeMap<>();
        map.put("kernel_h", (double) kernelH);
        map.put("kernel_w", (double) kernelW);
        map.put("stride_h", (double) strideH);
        map.put("stride_w", (double) strideW);
        map.put("pad_top", (double) padTop);
        map.put("pad_left", (double) padLeft);
        map.put("pad_bottom", (double) padBottom);
        map.put("pad_right", (double) padRight);
        map.put("ceil_mode", ceilMode ? 1.0 : 0.0);
        if (average) {
            map.put("count_include_pad", countPadding ? 1.0 : 0.0);
        }
        return map;
    }
}
