package dev.graft.predict;

import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.model.LowRankAdapter;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.weights.Bundle;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.WeightsException;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** Adapters of a base whose parameters are in a store. */
final class Adapters {
    private Adapters() {
    }

    /** The class names of an adapter: those its file carries, else the base's. */
    static List<String> classes(PeftFolder folder, List<String> base) {
        List<String> stored = Bundle.classNames(folder.file());
        return stored.isEmpty() ? base : stored;
    }

    /**
     * The adapter of a folder for this many classes, its parameters in the store.
     *
     * @throws WeightsException if it is of another base, or has other classes but no head for them
     */
    static LowRankAdapter load(Network network, PeftFolder folder, String name, int classes, Parameters into) {
        Network base = network.classes() == classes ? network : Models.named(network.name()).network(network.imageSize(), classes);
        LowRankAdapter adapter = LowRankAdapter.of(base, folder, name);
        Map<String, List<Long>> shared = network.graph().parameters().stream().collect(Collectors.toMap(Param::name, Param::dims));
        for (Param p : base.graph().parameters()) {
            if (!adapter.whole().contains(p.name()) && !p.dims().equals(shared.get(p.name()))) {
                throw new WeightsException(folder.folder() + ": has " + classes + " classes, the base " + network.classes() + ", but not a "
                        + p.name() + " of its own");
            }
        }
        for (String parameter : adapter.parameters()) {
            if (into.contains(parameter)) {
                throw new IllegalArgumentException("an adapter named " + name + " is open already");
            }
        }
        try {
            adapter.load(folder, into);
        } catch (RuntimeException | Error e) {
            remove(adapter, into);
            throw e;
        }
        return adapter;
    }

    /** Takes the parameters out of the store again; no plan may read them. */
    static void remove(LowRankAdapter adapter, Parameters from) {
        adapter.parameters().stream().filter(from::contains).forEach(from::remove);
    }
}
