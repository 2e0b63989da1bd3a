package dev.graft.finetune;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.engine.Parameters;
import dev.graft.model.LowRankGraph;
import dev.graft.model.LowRankLayer;
import dev.graft.model.LowRankUpdate;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/**
 * A trained low-rank adapter after it was merged into the weights of the published network.
 *
 * @param updates what was trained, a layer each
 * @param weightChange largest change of an element of a weight by the merge
 * @param logitDrift largest difference of a logit between the network with its adapter and the merged one
 */
public record MergedAdapter(List<LowRankUpdate> updates, double weightChange, double logitDrift) {
    /** Copies the list. */
    public MergedAdapter {
        updates = List.copyOf(updates);
    }

    /**
     * Merges the adapters of a store into its weights, in place, so that these are held once. B becomes zero: the network with
     * adapters goes on to answer as the published one.
     *
     * @param adapted logits of some pictures by the network with adapters, asked before the merge
     * @param merged logits of the same pictures by the published network, asked after it
     */
    static MergedAdapter merge(List<LowRankLayer> layers, Parameters parameters, Supplier<float[]> adapted, Supplier<float[]> merged) {
        float[] before = adapted.get();
        List<LowRankUpdate> updates = new ArrayList<>();
        double largest = 0;
        for (LowRankLayer layer : layers) {
            LowRankUpdate update = LowRankUpdate.of(layer, null, parameters);
            String name = layer.module() + ".weight";
            float[] weight = parameters.read(name);
            largest = Math.max(largest, update.addTo(weight, 1));
            parameters.write(name, weight);
            parameters.write(LowRankGraph.b(layer.module(), null), new float[update.b().length]);
            updates.add(update);
        }
        float[] after = merged.get();
        double drift = 0;
        for (int i = 0; i < before.length; i++) {
            drift = Math.max(drift, Math.abs(before[i] - after[i]));
        }
        return new MergedAdapter(updates, largest, drift);
    }

    /** Numbers in the adapter. */
    public long count() {
        return updates.stream().mapToLong(u -> u.a().length + u.b().length).sum();
    }

    ObjectNode toJson() {
        return JsonNodeFactory.instance.objectNode().put("layers", updates.size()).put("parameters", count())
                .put("largest_weight_change", weightChange).put("largest_logit_drift", logitDrift);
    }
}
