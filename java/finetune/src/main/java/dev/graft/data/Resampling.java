package dev.graft.data;

import dev.graft.weights.Interpolation;
import java.util.Arrays;

/**
 * Antialiased resizing with the arithmetic of Pillow's {@code Image.resize} on 8-bit channels ({@code Resample.c}): the
 * filter is widened by the scale, its weights are 8.22 fixed point, columns first, then rows, with an 8-bit picture in
 * between (Pillow 13 takes rows first in very tall pictures: one level of difference). Only the wanted window of the
 * result is computed; its pixels do not depend on the window.
 */
final class Resampling {
    private static final int PRECISION = 32 - 8 - 2;
    private static final int HALF = 1 << PRECISION - 1;
    private static final double BICUBIC_A = -0.5;

    private Resampling() {}

    /**
     * Resizes {@code source} of {@code picture}, as if cut out before, to {@code width x height} and returns the
     * {@code window} of that.
     */
    static Picture resize(Picture picture, Box source, int width, int height, Box window, Interpolation interpolation) {
        Weights columns = weights(source.width(), width, window.x(), window.width(), interpolation);
        Weights rows = weights(source.height(), height, window.y(), window.height(), interpolation);
        int first = rows.start[0];
        int last = rows.start[window.height() - 1] + rows.count[window.height() - 1];
        byte[] between = columns(picture, source.x(), source.y() + first, last - first, columns, source.width() == width);
        byte[] out = source.height() == height ? between : rows(between, window.width() * 3, first, rows);
        return new Picture(window.width(), window.height(), out);
    }

    /** Weights of output i: {@code weight[i * size .. + count[i]]} for inputs from {@code start[i]}. */
    private record Weights(int size, int[] start, int[] count, int[] weight) {}

    private static Weights weights(int in, int out, int from, int length, Interpolation interpolation) {
        if (in == out) {
            int[] start = new int[length];
            int[] one = new int[length];
            for (int i = 0; i < length; i++) {
                start[i] = from + i;
                one[i] = 1;
            }
            return new Weights(1, start, one, one);
        }
        double scale = (double) in / out;
        double filterScale = Math.max(scale, 1.0);
        double support = (interpolation == Interpolation.BICUBIC ? 2.0 : 1.0) * filterScale;
        int size = (int) Math.ceil(support) * 2 + 1;
        int[] start = new int[length];
        int[] count = new int[length];
        int[] weight = new int[Math.multiplyExact(length, size)];
        double[] exact = new double[size];
        double inverse = 1.0 / filterScale;
        for (int i = 0; i < length; i++) {
            double center = (from + i + 0.5) * scale;
            int low = Math.max((int) (center - support + 0.5), 0);
            int n = Math.min((int) (center + support + 0.5), in) - low;
            double sum = 0;
            for (int k = 0; k < n; k++) {
                exact[k] = filter((k + low - center + 0.5) * inverse, interpolation);
                sum += exact[k];
            }
            start[i] = low;
            count[i] = n;
            for (int k = 0; k < n; k++) {
                double share = sum != 0 ? exact[k] / sum : exact[k];
                weight[i * size + k] = (int) ((share < 0 ? -0.5 : 0.5) + share * (1 << PRECISION));
            }
        }
        return new Weights(size, start, count, weight);
    }

    private static double filter(double x, Interpolation interpolation) {
        double d = Math.abs(x);
        if (interpolation == Interpolation.BILINEAR) {
            return d < 1.0 ? 1.0 - d : 0.0;
        }
        if (d < 1.0) {
            return ((BICUBIC_A + 2.0) * d - (BICUBIC_A + 3.0)) * d * d + 1;
        }
        return d < 2.0 ? (((d - 5) * d + 8) * d - 4) * BICUBIC_A : 0.0;
    }

    private static byte[] columns(Picture picture, int left, int top, int height, Weights columns, boolean copy) {
        byte[] in = picture.rgb();
        int width = columns.start.length;
        byte[] out = new byte[Math.multiplyExact(Math.multiplyExact(width, height), 3)];
        int o = 0;
        for (int y = 0; y < height; y++) {
            int row = 3 * ((top + y) * picture.width() + left);
            if (copy) {
                System.arraycopy(in, row + 3 * columns.start[0], out, o, 3 * width);
                o += 3 * width;
                continue;
            }
            for (int x = 0; x < width; x++) {
                int red = HALF;
                int green = HALF;
                int blue = HALF;
                int i = row + 3 * columns.start[x];
                int k = x * columns.size;
                for (int end = k + columns.count[x]; k < end; k++, i += 3) {
                    int weight = columns.weight[k];
                    red += (in[i] & 0xFF) * weight;
                    green += (in[i + 1] & 0xFF) * weight;
                    blue += (in[i + 2] & 0xFF) * weight;
                }
                out[o] = clip(red >> PRECISION);
                out[o + 1] = clip(green >> PRECISION);
                out[o + 2] = clip(blue >> PRECISION);
                o += 3;
            }
        }
        return out;
    }

    /** {@code in} holds rows of {@code stride} bytes from source row {@code first} on. */
    private static byte[] rows(byte[] in, int stride, int first, Weights rows) {
        int height = rows.start.length;
        byte[] out = new byte[height * stride];
        int[] sum = new int[stride];
        for (int y = 0; y < height; y++) {
            Arrays.fill(sum, HALF);
            for (int k = 0; k < rows.count[y]; k++) {
                int weight = rows.weight[y * rows.size + k];
                int row = (rows.start[y] - first + k) * stride;
                for (int x = 0; x < stride; x++) {
                    sum[x] += (in[row + x] & 0xFF) * weight;
                }
            }
            int o = y * stride;
            for (int x = 0; x < stride; x++) {
                out[o + x] = clip(sum[x] >> PRECISION);
            }
        }
        return out;
    }

    private static byte clip(int value) {
        return (byte) (value < 0 ? 0 : Math.min(value, 255));
    }
}
