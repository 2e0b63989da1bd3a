package dev.graft.model;

import dev.graft.engine.Parameters;
import java.util.List;

/**
 * A trained adapter of one layer as numbers: what is added to the layer's weight when the two are merged.
 *
 * @param layer shape and factor
 * @param a rows of A, [pairs * rank][inputs of the layer] row-major, in the order of axes of the weight; not copied
 * @param b rows of B, [pairs * outputs][rank] row-major; not copied
 */
public record LowRankUpdate(LowRankLayer layer, float[] a, float[] b) {
    /** The adapter's numbers in a store. */
    public static LowRankUpdate of(LowRankLayer layer, String adapter, Parameters from) {
        return new LowRankUpdate(layer, from.read(LowRankGraph.a(layer.module(), adapter)), from.read(LowRankGraph.b(layer.module(), adapter)));
    }

    /**
     * Adds the update to a weight, in one pass over it: {@code W += sign * factor * B A} on the columns of each slice.
     *
     * @param weight [outputs][inputs] row-major, changed in place
     * @param sign 1 merges, -1 takes a merged update out again, to the rounding of F32
     * @return the largest change of an element
     */
    public double addTo(float[] weight, int sign) {
        int inputs = a.length / (layer.pairs() * layer.rank());
        int width = b.length / (layer.pairs() * layer.rank());
        double largest = 0;
        List<LowRankLayer.Slice> slices = layer.slices().isEmpty() ? List.of(new LowRankLayer.Slice(0, width)) : layer.slices();
        double[] sum = new double[inputs];
        for (int s = 0; s < slices.size(); s++) {
            for (int row = 0; row < width; row++) {
                java.util.Arrays.fill(sum, 0);
                for (int r = 0; r < layer.rank(); r++) {
                    double up = sign * layer.factor() * b[(s * width + row) * layer.rank() + r];
                    int from = (s * layer.rank() + r) * inputs;
                    for (int k = 0; k < inputs; k++) {
                        sum[k] += up * a[from + k];
                    }
                }
                int to = (slices.get(s).start() + row) * inputs;
                for (int k = 0; k < inputs; k++) {
                    weight[to + k] += (float) sum[k];
                    largest = Math.max(largest, Math.abs(sum[k]));
                }
            }
        }
        return largest;
    }
}
