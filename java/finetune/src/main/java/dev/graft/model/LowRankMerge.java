package dev.graft.model;

import dev.graft.engine.Device;
import dev.graft.engine.LowRankLinear;
import dev.graft.engine.Parameters;
import dev.graft.weights.LowRankSum;

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
        long out = store.declaration(name).dims().get(0);
        LowRankLinear update = LowRankLinear.of(1, weight.length / out, out, layer.rank(), layer.factor());
        if (!layer.slices().isEmpty()) {
            update = update.slices(layer.slices().get(0).width(), layer.slices().stream().mapToLong(LowRankLayer.Slice::start).toArray());
        }
        double largest = add(store.device(), update, weight, a, b, sign);
        store.write(name, weight);
        return largest;
    }

    // The arrays are the host's, whatever the store's device is.
    private static double add(Device device, LowRankLinear update, float[] weight, float[] a, float[] b, int sign) {
        if (!device.column().startsWith("cuda")) {
            return LowRankSum.add(device.kernels(), update, weight, a, b, sign);
        }
        try (Device host = Device.open("cpu", device.threads(), 1)) {
            return LowRankSum.add(host.kernels(), update, weight, a, b, sign);
        }
    }
}
