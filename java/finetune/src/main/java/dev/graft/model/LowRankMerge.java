package dev.graft.model;

import dev.graft.engine.Parameters;
import dev.graft.weights.LowRankSum;
import java.util.Arrays;
import java.util.List;

/** Adapters in a store merged into the weights beside them, in place. */
public final class LowRankMerge {
    private LowRankMerge() {}

    /**
     * Adds {@code factor * B A} to the weight of a layer, in one pass over it. A and B stay.
     *
     * @param adapter name of the adapter; null for the only one
     * @param sign 1 merges, -1 takes a merged adapter out again, to a rounding of F32
     * @return the largest change of an element
     */
    public static double into(LowRankLayer layer, String adapter, Parameters store, int sign) {
        float[] a = store.read(LowRankGraph.a(layer.module(), adapter));
        float[] b = store.read(LowRankGraph.b(layer.module(), adapter));
        String name = layer.module() + ".weight";
        float[] weight = store.read(name);
        List<LowRankLayer.Slice> slices = layer.slices().isEmpty() ? List.of(new LowRankLayer.Slice(0, b.length / layer.rank())) : layer.slices();
        int down = a.length / slices.size();
        int up = b.length / slices.size();
        double largest = 0;
        for (int s = 0; s < slices.size(); s++) {
            largest = Math.max(largest, LowRankSum.add(weight, slices.get(s).start(), Arrays.copyOfRange(a, s * down, (s + 1) * down),
                    Arrays.copyOfRange(b, s * up, (s + 1) * up), layer.rank(), sign * layer.factor()));
        }
        store.write(name, weight);
        return largest;
    }
}
