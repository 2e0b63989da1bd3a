package dev.graft.finetune;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.engine.Parameters;
import dev.graft.model.LogitDrift;
import dev.graft.model.LowRankAdapter;
import dev.graft.model.LowRankGraph;
import dev.graft.model.LowRankLayer;
import dev.graft.model.LowRankMerge;
import java.util.function.Supplier;

/**
 * A trained low-rank adapter after it was merged into the weights of the published network.
 *
 * @param adapter what was trained
 * @param parameters numbers in A and B of all layers
 * @param weightChange largest change of an element of a weight by the merge
 * @param drift between the network with its adapter and the merged one, on one batch of pictures
 */
public record MergedAdapter(LowRankAdapter adapter, long parameters, double weightChange, LogitDrift drift) {
    /**
     * Merges the adapter in a store into its weights, in place, so that these are held once. A and B stay.
     *
     * @param adapted logits of some pictures by the network with the adapter, asked before the merge
     * @param merged logits of the same pictures by the published network, asked after it
     */
    static MergedAdapter merge(LowRankAdapter adapter, Parameters store, Supplier<float[]> adapted, Supplier<float[]> merged) {
        float[] before = adapted.get();
        long count = 0;
        double change = 0;
        for (LowRankLayer layer : adapter.layers()) {
            change = Math.max(change, LowRankMerge.into(layer, null, store, 1));
            count += store.declaration(LowRankGraph.a(layer.module(), null)).count() + store.declaration(LowRankGraph.b(layer.module(), null)).count();
        }
        return new MergedAdapter(adapter, count, change, LogitDrift.between(before, merged.get()));
    }

    /** Makes the adapter one that changes nothing, as it began: the store then holds one network, with it or without. */
    void clear(Parameters store) {
        for (LowRankLayer layer : adapter.layers()) {
            String b = LowRankGraph.b(layer.module(), null);
            store.write(b, new float[Math.toIntExact(store.declaration(b).count())]);
        }
    }

    ObjectNode toJson() {
        return JsonNodeFactory.instance.objectNode().put("layers", adapter.layers().size()).put("parameters", parameters)
                .put("largest_weight_change", weightChange).put("largest_logit_drift", drift.largest())
                .put("largest_logit", drift.magnitude());
    }
}
