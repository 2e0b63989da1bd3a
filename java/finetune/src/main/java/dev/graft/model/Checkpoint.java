package dev.graft.model;

import dev.graft.engine.DType;
import dev.graft.engine.Origin;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.weights.Dtype;
import dev.graft.weights.Layout;
import dev.graft.weights.LoadReport;
import dev.graft.weights.StoredTensor;
import dev.graft.weights.TensorSource;
import dev.graft.weights.WeightFile;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Brings a network's parameters into a store: from a weight file where it has them, else from their starts. Tensors of a file
 * are bound by place, not copied: the engine reads them when a plan needs a form of them. PyTorch's order of axes becomes
 * the engine's here and nowhere else.
 */
public final class Checkpoint {
    private Checkpoint() {
    }

    /** Names and sizes that a published file of this network has, in PyTorch's order of axes. */
    public static List<LoadReport.Shape> expected(Network network) {
        return network.graph().parameters().stream()
                .map(p -> LoadReport.Shape.of(p.value().name(), torchDims(p))).toList();
    }

    /** How a file fits the network; position embeddings of another grid are resampled. */
    public static LoadReport compare(Network network, WeightFile file) {
        LoadReport report = LoadReport.compare(file, expected(network));
        return report.resampling(m -> network.positions().stream().anyMatch(grid -> grid.resamples(m)));
    }

    /** Sizes of a parameter in PyTorch's order of axes: filters are out, in, height, width there. */
    public static long[] torchDims(Param parameter) {
        List<Long> d = parameter.dims();
        return d.size() == 4 ? new long[] {d.get(0), d.get(3), d.get(1), d.get(2)}
                : d.stream().mapToLong(Long::longValue).toArray();
    }

    /**
     * Declares every parameter of the network and gives each its value.
     *
     * @param file the weights, or null to start fresh
     * @param fresh names that start fresh although the file may have them: the new head
     * @param seed of the fresh starts
     * @return what was matched; null without a file
     * @throws dev.graft.weights.WeightsException if anything but {@code fresh} does not fit
     */
    public static LoadReport load(Network network, WeightFile file, Collection<String> fresh, long seed, Parameters into) {
        LoadReport report = file == null ? null : compare(network, file);
        if (report != null) {
            report.requireStrict(fresh);
        }
        Set<String> made = Set.copyOf(fresh);
        for (Param p : network.graph().parameters()) {
            String name = p.value().name();
            boolean stored = file != null && !made.contains(name);
            into.declare(name, p.dims(), p.buffer(), stored ? Origin.CHECKPOINT : Origin.HEAD);
            if (stored && report.resampled().stream().anyMatch(m -> m.name().equals(name))) {
                PositionGrid grid = network.positions().stream().filter(g -> g.parameter().equals(name)).findFirst().orElseThrow();
                into.write(name, grid.resample(file.read(file.tensor(name)), Math.toIntExact(p.dims().get(2))));
            } else if (stored) {
                bind(p, file.tensor(name), file, into);
            } else {
                into.write(name, network.starts().get(name).values(seed, name, Math.toIntExact(p.count())));
            }
        }
        return report;
    }

    /** Declares what a method added to a network, that is what the store does not have yet, and gives it its starts. */
    public static void add(Network network, long seed, Parameters into) {
        for (Param p : network.graph().parameters()) {
            if (!into.contains(p.name())) {
                into.declare(p.name(), p.dims(), p.buffer(), Origin.METHOD);
                into.write(p.name(), network.starts().get(p.name()).values(seed, p.name(), Math.toIntExact(p.count())));
            }
        }
    }

    /** The network's parameters as a published file has them, read from the store when they are written. */
    public static List<TensorSource> tensors(Network network, Parameters from) {
        return network.graph().parameters().stream().map(p -> (TensorSource) new Stored(p, from)).toList();
    }

    /** A parameter of a store in PyTorch's order of axes. */
    private record Stored(Param parameter, Parameters store) implements TensorSource {
        @Override
        public String name() {
            return parameter.value().name();
        }

        @Override
        public Dtype dtype() {
            return Dtype.F32;
        }

        @Override
        public long[] dims() {
            return torchDims(parameter);
        }

        @Override
        public void copyTo(Consumer<ByteBuffer> out) {
            float[] values = store.read(name());
            float[] torch = parameter.dims().size() != 4 ? values
                    : Layout.fromEngine(values, parameter.dims().stream().mapToLong(Long::longValue).toArray());
            TensorSource.of(name(), torch, dims()).copyTo(out);
        }
    }

    /** Gives a declared parameter the elements of a tensor of a file. */
    static void bind(Param p, StoredTensor tensor, WeightFile file, Parameters into) {
        StoredTensor stored = p.dims().size() == 4 ? tensor.permuted(Layout.oihwToOhwi()) : tensor;
        StoredTensor.FileOrder order = stored.fileOrder();
        if (order != null) {
            List<Long> dims = Arrays.stream(order.dims()).boxed().toList();
            into.fromFile(p.name(), stored.file(), stored.offset(), DType.valueOf(stored.dtype().name()), dims, order.order());
        } else {
            into.write(p.name(), file.read(stored));
        }
    }
}
