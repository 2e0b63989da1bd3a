package dev.graft.model;

import dev.graft.engine.Device;
import dev.graft.engine.Parameters;
import dev.graft.engine.Philox;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.StoredTensor;
import dev.graft.weights.WeightFile;
import java.util.List;

/**
 * How far two networks that should answer alike are apart.
 *
 * @param largest largest difference of a logit
 * @param magnitude largest logit of the first
 */
public record LogitDrift(double largest, double magnitude) {
    /** Pictures of noise that {@link #ofMerge} compares on. */
    public static final int PICTURES = 8;

    /** Of two lists of the same logits. */
    public static LogitDrift between(float[] first, float[] second) {
        double largest = 0;
        double magnitude = 0;
        for (int i = 0; i < first.length; i++) {
            largest = Math.max(largest, Math.abs((double) first[i] - second[i]));
            magnitude = Math.max(magnitude, Math.abs((double) first[i]));
        }
        return new LogitDrift(largest, magnitude);
    }

    /**
     * Between a base with an adapter beside it and a file that the two were merged into, on {@value #PICTURES} pictures of normal
     * noise, a function of the seed.
     *
     * @param network as the merged file has it, classes included
     * @param base the weights without the adapter
     * @param merged the weights with it
     * @throws dev.graft.weights.WeightsException if a file or the adapter does not fit the network
     */
    public static LogitDrift ofMerge(Network network, WeightFile base, PeftFolder adapter, WeightFile merged, long seed, int threads) {
        try (Device device = Device.open("cpu", threads, 1)) {
            LowRankAdapter beside = LowRankAdapter.of(network, adapter, null);
            Parameters separate = device.parameters();
            Checkpoint.load(network, base, adapter.saved().stream().map(StoredTensor::name).toList(), seed, separate);
            beside.load(adapter, separate);
            Parameters together = device.parameters();
            Checkpoint.load(network, merged, List.of(), seed, together);
            return between(logits(beside.network(), separate, seed), logits(network, together, seed));
        }
    }

    private static float[] logits(Network network, Parameters parameters, long seed) {
        float[] pixels = new float[PICTURES * network.imageSize() * network.imageSize() * 3];
        long key = Philox.key(seed, "logit drift");
        for (int i = 0; i < pixels.length; i++) {
            pixels[i] = Philox.normal(key, 0, 0, i);
        }
        float[] logits = new float[PICTURES * network.classes()];
        try (Plan plan = Plan.compile(network.graph(), parameters, PlanOptions.eval(PICTURES).build())) {
            plan.input(Network.PIXELS).write(pixels);
            plan.forward();
            plan.output(Network.LOGITS).read(logits);
        }
        return logits;
    }
}
