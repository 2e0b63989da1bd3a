package dev.graft.model;

import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.weights.Layout;
import dev.graft.weights.PeftConfig;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.TensorSource;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** An adapter out of a store into a PEFT folder. */
final class AdapterExport {
    private static final double ROUNDING = 1e-12;

    private AdapterExport() {}

    static void write(LowRankAdapter adapter, Path folder, boolean overwrite, Parameters from, Map<String, String> metadata) {
        Map<String, PeftConfig.Strength> strengths = new LinkedHashMap<>();
        List<PeftFolder.Pair> pairs = new ArrayList<>();
        double dropout = 0;
        for (LowRankLayer layer : adapter.layers()) {
            int rank = layer.pairs() * layer.rank();
            double alpha = layer.factor() * (adapter.rankStabilised() ? Math.sqrt(rank) : rank);
            double whole = Math.rint(alpha);
            strengths.put(layer.module(), new PeftConfig.Strength(rank, Math.abs(alpha - whole) <= ROUNDING * Math.abs(alpha) ? whole : alpha));
            pairs.add(pair(adapter, layer, from));
            dropout = Math.max(dropout, layer.dropout());
        }
        List<String> others = LowRankGraph.adaptable(adapter.base().graph()).stream().map(LowRankGraph.Adaptable::module).toList();
        PeftConfig config = PeftConfig.of(strengths, others, adapter.rankStabilised(), dropout, adapter.wholeModules(), null);
        List<TensorSource> saved = new ArrayList<>();
        for (Param p : adapter.base().graph().parameters()) {
            if (config.saves(p.name())) {
                String stored = adapter.whole().contains(p.name()) ? adapter.own(p.name()) : p.name();
                saved.add(tensor(p.name(), stored, from));
            }
        }
        PeftFolder.write(folder, overwrite, config, pairs, saved, metadata);
    }

    private static PeftFolder.Pair pair(LowRankAdapter adapter, LowRankLayer layer, Parameters from) {
        String a = LowRankGraph.a(layer.module(), adapter.name());
        String b = LowRankGraph.b(layer.module(), adapter.name());
        if (layer.slices().isEmpty()) {
            return new PeftFolder.Pair(layer.module(), tensor(a, a, from), tensor(b, b, from));
        }
        Param weight = (Param) adapter.base().graph().entry(layer.module() + ".weight");
        int out = Math.toIntExact(weight.dims().get(0));
        return new PeftFolder.Pair(layer.module(), tensor(a, a, from), TensorSource.of(b, blocks(layer, out, from.read(b)), out,
                (long) layer.pairs() * layer.rank()));
    }

    /** B of slices [slices * width, rank] as B of the whole layer [out, slices * rank]: the blocks in their rows and columns. */
    private static float[] blocks(LowRankLayer layer, int out, float[] stacked) {
        int rank = layer.rank();
        int columns = layer.pairs() * rank;
        float[] whole = new float[out * columns];
        int row = 0;
        for (int s = 0; s < layer.pairs(); s++) {
            for (int i = 0; i < layer.slices().get(s).width(); i++, row++) {
                System.arraycopy(stacked, row * rank, whole, (layer.slices().get(s).start() + i) * columns + s * rank, rank);
            }
        }
        return whole;
    }

    /** A parameter of the store in PyTorch's order of axes. */
    private static TensorSource tensor(String name, String stored, Parameters from) {
        long[] dims = from.declaration(stored).dims().stream().mapToLong(Long::longValue).toArray();
        float[] values = from.read(stored);
        return dims.length == 4 ? TensorSource.of(name, Layout.fromEngine(values, dims), Layout.permute(dims, Layout.ohwiToOihw()))
                : TensorSource.of(name, values, dims);
    }
}
