package dev.graft.engine;

import java.util.Map;
import java.util.TreeMap;

/**
 * Attributes of a two-dimensional convolution. Start from {@link #DEFAULT} and derive:
 * {@code Conv2d.DEFAULT.stride(2).pad(1)}.
 *
 * @param strideH rows per step
 * @param strideW columns per step
 * @param padTop zero rows above
 * @param padLeft zero columns to the left
 * @param padBottom zero rows below
 * @param padRight zero columns to the right
 * @param dilationH rows between taps, 1 = adjacent
 * @param dilationW columns between taps, 1 = adjacent
 * @param groups groups of channels; as many as channels makes it depthwise
 */
public record Conv2d(int strideH, int strideW, int padTop, int padLeft, int padBottom, int padRight, int dilationH,
        int dilationW, int groups) {
    /** Stride 1, no padding, no dilation, one group. */
    public static final Conv2d DEFAULT = new Conv2d(1, 1, 0, 0, 0, 0, 1, 1, 1);

    /** The same with this stride in both directions. */
    public Conv2d stride(int stride) {
        return new Conv2d(stride, stride, padTop, padLeft, padBottom, padRight, dilationH, dilationW, groups);
    }

    /** The same with this padding on all four sides. */
    public Conv2d pad(int pad) {
        return pad(pad, pad, pad, pad);
    }

    /** The same with these paddings. */
    public Conv2d pad(int top, int left, int bottom, int right) {
        return new Conv2d(strideH, strideW, top, left, bottom, right, dilationH, dilationW, groups);
    }

    /** The same with this dilation in both directions. */
    public Conv2d dilation(int dilation) {
        return new Conv2d(strideH, strideW, padTop, padLeft, padBottom, padRight, dilation, dilation, groups);
    }

    /** The same with this many groups. */
    public Conv2d groups(int count) {
        return new Conv2d(strideH, strideW, padTop, padLeft, padBottom, padRight, dilationH, dilationW, count);
    }

    Map<String, Double> attributes() {
        Map<String, Double> map = new TreeMap<>();
        map.put("stride_h", (double) strideH);
        map.put("stride_w", (double) strideW);
        map.put("pad_top", (double) padTop);
        map.put("pad_left", (double) padLeft);
        map.put("pad_bottom", (double) padBottom);
        map.put("pad_right", (double) padRight);
        map.put("dilation_h", (double) dilationH);
        map.put("dilation_w", (double) dilationW);
        map.put("groups", (double) groups);
        return map;
    }
}
