package dev.graft.jmh;

import dev.graft.engine.Param;
import dev.graft.model.Architecture;
import dev.graft.model.Checkpoint;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.weights.SafetensorsWriter;
import dev.graft.weights.TensorSource;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * A checkpoint with a network's own fresh starts: benchmarks read their weights from a file, as every run does, so that
 * memory counts what a run counts (a frozen tensor's source is the mapped file). Values do not matter to time or memory.
 */
public final class StartFile {
    static final String VIT_TINY = "vit_tiny_patch16_224";
    static final String VIT_BASE = "vit_base_patch16_224";

    private static final long SEED = 0;

    private StartFile() {}

    /** Writes the files of all networks that are measured, where they are missing. */
    public static void main(String[] none) {
        for (Network network : List.of(published("resnet18"), published(VIT_TINY), of100Classes(VIT_BASE))) {
            System.out.println(of(network));
        }
    }

    /**
     * The file of a network, written where it is missing.
     *
     * @return a path in the folder {@code graft.jmh.weights} (a system property), {@code jmh/target/weights} without it
     */
    static Path of(Network network) {
        Path folder = Path.of(System.getProperty("graft.jmh.weights", "jmh/target/weights"));
        String classes = network.classes() == Models.named(network.name()).classes() ? "" : "-" + network.classes();
        Path file = folder.resolve(network.name() + classes + ".safetensors");
        if (!Files.exists(file)) {
            try {
                Files.createDirectories(folder);
            } catch (IOException e) {
                throw new UncheckedIOException("cannot create " + folder, e);
            }
            List<TensorSource> tensors = network.graph().parameters().stream().map(p -> start(network, p)).toList();
            SafetensorsWriter.write(file, Map.of(), tensors);
        }
        return file;
    }

    /** The network as it was published: its own size and classes. */
    static Network published(String model) {
        Architecture architecture = Models.named(model);
        return architecture.network(architecture.imageSize(), architecture.classes());
    }

    /** A network at its own size with a new head for 100 classes. */
    static Network of100Classes(String model) {
        return Models.named(model).network(Models.named(model).imageSize(), 100);
    }

    private static TensorSource start(Network network, Param parameter) {
        String name = parameter.name();
        float[] values = network.starts().get(name).values(SEED, name, Math.toIntExact(parameter.count()));
        return TensorSource.of(name, values, Checkpoint.torchDims(parameter));
    }
}
