package dev.graft.model;

import dev.graft.weights.LoadReport;
import java.util.Arrays;
import java.util.List;

/**
 * A position embedding [1, prefix + side * side, C]: {@code prefix} tokens without a place, then a square of places row by row.
 * A network of another image size has another square; {@link #resample} makes one of the other.
 *
 * @param parameter name of the parameter
 * @param prefix tokens before the square
 * @param side places a side
 */
public record PositionGrid(String parameter, int prefix, int side) {
    private static final double CUBIC = -0.5;

    /** Whether a tensor that a file has in other sizes is this embedding over another square. */
    boolean resamples(LoadReport.Mismatch tensor) {
        List<Long> found = tensor.found();
        return tensor.name().equals(parameter) && tensor.dtype().floating() && found.size() == 3 && found.get(0) == 1
                && found.get(2).equals(tensor.expected().get(2)) && square(found.get(1) - prefix) > 0;
    }

    /** The side of a square of so many places, 0 if they make none. */
    private static int square(long places) {
        int from = (int) Math.round(Math.sqrt(Math.max(0, places)));
        return (long) from * from == places ? from : 0;
    }

    /**
     * The embedding of another square brought to this one: the prefix as it is, the square by cubic convolution (a = -0.5)
     * over the area of a place where it shrinks, as timm's {@code resample_abs_pos_embed} and Pillow's bicubic do.
     *
     * @param values [1, prefix + from * from, channels] for any whole number {@code from}
     */
    float[] resample(float[] values, int channels) {
        int from = square(values.length / channels - prefix);
        double[][] weights = weights(from, side);
        float[] result = Arrays.copyOf(values, (prefix + side * side) * channels);
        double[] columns = new double[from * side * channels];
        for (int row = 0; row < from; row++) {
            for (int to = 0; to < side; to++) {
                for (int column = 0; column < from; column++) {
                    double weight = weights[to][column];
                    for (int c = 0; weight != 0 && c < channels; c++) {
                        columns[(row * side + to) * channels + c] += weight * values[(prefix + row * from + column) * channels + c];
                    }
                }
            }
        }
        int line = side * channels;
        for (int to = 0; to < side; to++) {
            for (int i = 0; i < line; i++) {
                double sum = 0;
                for (int row = 0; row < from; row++) {
                    sum += weights[to][row] * columns[row * line + i];
                }
                result[prefix * channels + to * line + i] = (float) sum;
            }
        }
        return result;
    }

    /** [to][from]: how much each old place counts in each new one; rows add up to 1. */
    private static double[][] weights(int from, int to) {
        double scale = (double) from / to;
        double stretch = Math.max(scale, 1);
        double[][] weights = new double[to][from];
        for (int i = 0; i < to; i++) {
            double centre = scale * (i + 0.5);
            int first = Math.max(0, (int) (centre - 2 * stretch + 0.5));
            int end = Math.min(from, (int) (centre + 2 * stretch + 0.5));
            double sum = 0;
            for (int j = first; j < end; j++) {
                weights[i][j] = cubic(Math.abs((j + 0.5 - centre) / stretch));
                sum += weights[i][j];
            }
            for (int j = first; j < end; j++) {
                weights[i][j] /= sum;
            }
        }
        return weights;
    }

    /** Keys 1981. */
    private static double cubic(double x) {
        if (x < 1) {
            return ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1;
        }
        return x < 2 ? CUBIC * (((x - 5) * x + 8) * x - 4) : 0;
    }
}
