package dev.graft.weights;

import dev.graft.engine.Kernels;
import dev.graft.engine.LowRankLinear;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Puts an adapter into a weight file, or takes it out again: a new file in which {@code factor * B A} is added to, or subtracted
 * from, the weight of each adapted module. These tensors become F32; all others keep their bytes. One weight is in memory at a
 * time.
 */
public final class PeftMerge {
    private static final String WEIGHT = ".weight";

    private final WeightFile base;
    private final PeftFolder adapter;
    private final int sign;
    private final Kernels kernels;
    private final Map<String, PeftFolder.Layer> layers = new LinkedHashMap<>();
    private final Map<String, StoredTensor> whole = new LinkedHashMap<>();
    private double largest;
    private String where;

    /**
     * What a merge came to.
     *
     * @param layers adapted weights
     * @param whole tensors that the adapter has whole: exchanged by a merge; kept when it is taken out, since the adapter does not
     *     hold what they were
     * @param largestChange of an element of an adapted weight
     * @param where the weight that it is in
     */
    public record Outcome(int layers, List<String> whole, double largestChange, String where) {}

    private PeftMerge(WeightFile base, PeftFolder adapter, int sign, Kernels kernels) {
        this.base = base;
        this.adapter = adapter;
        this.sign = sign;
        this.kernels = kernels;
        adapter.layers().forEach(l -> layers.put(l.module() + WEIGHT, l));
        adapter.saved().forEach(t -> whole.put(t.name(), t));
        require();
    }

    /** Writes the base with the adapter in it. Throws as {@link #unmerge}. */
    public static Outcome merge(WeightFile base, PeftFolder adapter, Path out, Kernels kernels) {
        return new PeftMerge(base, adapter, 1, kernels).write(out);
    }

    /**
     * Writes the base without an adapter that was merged into it: the weights of before to a rounding of F32.
     *
     * @param out the file; one that is there is replaced once the new one is complete
     * @param kernels of an open device; they add and subtract
     * @throws WeightsException if a part of the adapter does not fit the base, by name or sizes, or a file is damaged
     * @throws java.io.UncheckedIOException if the system refuses
     */
    public static Outcome unmerge(WeightFile merged, PeftFolder adapter, Path out, Kernels kernels) {
        return new PeftMerge(merged, adapter, -1, kernels).write(out);
    }

    private Outcome write(Path out) {
        List<TensorSource> tensors = new ArrayList<>();
        for (StoredTensor tensor : base.tensors()) {
            if (layers.containsKey(tensor.name())) {
                tensors.add(new Changed(tensor));
            } else if (sign > 0 && whole.containsKey(tensor.name())) {
                tensors.add(stored(adapter.file(), whole.get(tensor.name())));
            } else {
                tensors.add(stored(base, tensor));
            }
        }
        SafetensorsWriter.write(out, metadata(), tensors);
        return new Outcome(layers.size(), List.copyOf(whole.keySet()), largest, where);
    }

    // What the adapter was saved with holds before the base's own; a head of another task has not the base's classes.
    private Map<String, String> metadata() {
        Map<String, String> metadata = new LinkedHashMap<>(base.metadata());
        if (sign > 0) {
            if (!whole.isEmpty()) {
                metadata.remove(Bundle.CLASSES_KEY);
            }
            metadata.putAll(adapter.file().metadata());
        }
        metadata.put("format", "pt");
        return metadata;
    }

    private static TensorSource stored(WeightFile file, StoredTensor tensor) {
        return tensor.contiguous() ? TensorSource.of(file, tensor) : TensorSource.of(tensor.name(), file.read(tensor), tensor.dims());
    }

    private void require() {
        int fit = 0;
        String problem = null;
        for (PeftFolder.Layer layer : layers.values()) {
            String p = problem(layer);
            fit += p == null ? 1 : 0;
            problem = problem == null ? p : problem;
        }
        for (StoredTensor tensor : whole.values()) {
            String p = problem(tensor);
            fit += p == null ? 1 : 0;
            problem = problem == null ? p : problem;
        }
        if (problem != null) {
            throw new WeightsException(adapter.folder() + ": an adapter for another base than " + base.path() + " (" + fit + " of "
                    + (layers.size() + whole.size()) + " parts fit): " + problem);
        }
    }

    private String problem(PeftFolder.Layer layer) {
        String name = layer.module() + WEIGHT;
        if (!base.contains(name)) {
            String nearest = NearestName.of(name, base.tensors().stream().map(StoredTensor::name).toList());
            return "it adapts " + Messages.oneLine(layer.module()) + ", the file has no " + Messages.quoted(name)
                    + (nearest == null ? "" : ", the nearest is " + Messages.quoted(nearest));
        }
        long[] weight = base.tensor(name).dims();
        long[] expected = layer.a().dims();
        expected[0] = layer.b().dims()[0];
        boolean fits = Arrays.equals(weight, expected) && base.tensor(name).elements() > 0 && base.tensor(name).dtype().floating();
        return fits ? null
                : layer.module() + " has A " + Arrays.toString(layer.a().dims()) + " and B " + Arrays.toString(layer.b().dims()) + ", its weight is "
                        + base.tensor(name).dtype() + " " + Arrays.toString(weight);
    }

    // A head may have been made for another number of classes.
    private String problem(StoredTensor tensor) {
        if (!base.contains(tensor.name())) {
            return "it has " + Messages.quoted(tensor.name()) + " whole, which the file does not have";
        }
        long[] here = base.tensor(tensor.name()).dims();
        long[] there = tensor.dims();
        boolean fits = here.length == there.length && there.length > 0 && (sign > 0 || here[0] == there[0])
                && Arrays.equals(here, 1, here.length, there, 1, there.length);
        return fits ? null : Messages.quoted(tensor.name()) + " is " + Arrays.toString(there) + " in the adapter and " + Arrays.toString(here)
                + " in the file";
    }

    /** An adapted weight, made when it is written. */
    private final class Changed implements TensorSource {
        private final StoredTensor tensor;

        Changed(StoredTensor tensor) {
            this.tensor = tensor;
        }

        @Override
        public String name() {
            return tensor.name();
        }

        @Override
        public Dtype dtype() {
            return Dtype.F32;
        }

        @Override
        public long[] dims() {
            return tensor.dims();
        }

        @Override
        public void copyTo(Consumer<ByteBuffer> out) {
            PeftFolder.Layer layer = layers.get(name());
            float[] weight = base.read(tensor);
            long outputs = tensor.dims()[0];
            LowRankLinear update = LowRankLinear.of(1, weight.length / outputs, outputs, layer.rank(), layer.factor());
            double change = LowRankSum.add(kernels, update, weight, adapter.file().read(layer.a()), adapter.file().read(layer.b()), sign);
            if (where == null || !(change <= largest)) {
                largest = change;
                where = name();
            }
            TensorSource.of(name(), weight, dims()).copyTo(out);
        }
    }
}
