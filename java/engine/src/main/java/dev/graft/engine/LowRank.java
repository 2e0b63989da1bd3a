package dev.graft.engine;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The low-rank update of a {@link Operations#loraLinear linear layer}: factor * B A, on all columns or on slices of them (the
 * query and value of a fused qkv, for example), from one adapter or from one per sample. Start from {@link #of} and derive:
 * {@code LowRank.of(2).slices(192, 0, 384)}.
 *
 * @param factor what the update is multiplied with: alpha / rank, or alpha / sqrt(rank)
 * @param width columns that a slice writes; 0 = all, with one slice
 * @param starts first column of each slice, ascending without overlap; at most 8
 * @param z what the update reads in place of x, of the same sizes, or null: x after a dropout of its own
 * @param adapter I32 [samples], number of the adapter of each sample's rows or -1 for none; null = there is one adapter
 * @param scales [adapters], factors on top of {@code factor}, or null; only with {@code adapter}
 */
public record LowRank(double factor, long width, List<Long> starts, Value z, Value adapter, Value scales) {
    /** Copies the list. */
    public LowRank {
        starts = List.copyOf(starts);
    }

    /** An update of all columns by one adapter that reads x. */
    public static LowRank of(double factor) {
        return new LowRank(factor, 0, List.of(0L), null, null, null);
    }

    /** The same on slices of this width. */
    public LowRank slices(long width, long... starts) {
        return new LowRank(factor, width, Dims.of(starts), z, adapter, scales);
    }

    /** The same reading this in place of x. */
    public LowRank reading(Value z) {
        return new LowRank(factor, width, starts, z, adapter, scales);
    }

    /** The same with an adapter per sample; {@code scales} may be null. */
    public LowRank adapters(Value adapter, Value scales) {
        return new LowRank(factor, width, starts, z, adapter, scales);
    }

    Map<String, Double> attributes() {
        Map<String, Double> map = new TreeMap<>();
        map.put("factor", factor);
        map.put("slices", (double) starts.size());
        map.put("width", (double) width);
        for (int i = 0; i < starts.size(); i++) {
            map.put("start" + i, (double) starts.get(i));
        }
        return map;
    }
}
