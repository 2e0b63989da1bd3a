package dev.graft.weights;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;

/**
 * A LoRA adapter as Python's PEFT saves it: a folder with {@value #CONFIG} and {@value #WEIGHTS} (or {@value #PICKLED}, which is read
 * without running it). Tensors are listed with their places and read when asked for; their names are those of the base's
 * modules, without PEFT's prefix. A and B of a convolution have four axes, OIHW in the file.
 *
 * <p>Holds the file open until closed. Thread-safe.
 */
public final class PeftFolder implements AutoCloseable {
    /** Name of the file with the settings. */
    public static final String CONFIG = "adapter_config.json";
    /** Name of the file with the tensors. */
    public static final String WEIGHTS = "adapter_model.safetensors";
    /** Name of the file with the tensors as PEFT saved them before safetensors. */
    public static final String PICKLED = "adapter_model.bin";

    private static final long LONGEST_CONFIG = 16 << 20;
    private static final int LONGEST_NAME = 1000;
    private static final String PREFIX = "base_model.model.";
    private static final String A = ".lora_A.weight";
    private static final String B = ".lora_B.weight";

    private final Path folder;
    private final PeftConfig config;
    private final WeightFile file;
    private final Map<String, Layer> layers = new LinkedHashMap<>();
    private final Map<String, StoredTensor> saved = new LinkedHashMap<>();

    /**
     * The adapter of one module.
     *
     * @param module name in the base
     * @param rank   first axis of A and second of B
     * @param factor what B A is multiplied by
     * @param a      [rank, inputs], or [rank, inputs, height, width] of a convolution
     * @param b      [outputs, rank], or [outputs, rank, 1, 1]
     */
    public record Layer(String module, int rank, double factor, StoredTensor a, StoredTensor b) {
        /** Whether it is of a convolution. */
        public boolean convolution() {
            return a.dims().length == 4;
        }
    }

    /** A and B of a module that are to be written, in PyTorch's order of axes; their names do not matter. */
    public record Pair(String module, TensorSource a, TensorSource b) {}

    private PeftFolder(Path folder, PeftConfig config, WeightFile file) {
        this.folder = folder;
        this.config = config;
        this.file = file;
        sort();
    }

    /** Whether this is a folder with an adapter's settings. */
    public static boolean is(Path folder) {
        return Files.isRegularFile(folder.resolve(CONFIG));
    }

    /**
     * Opens a folder and checks that settings and tensors agree; no tensor data is read.
     *
     * @throws WeightsException if it is no such folder, is damaged, has settings that this build cannot compute, half of a pair,
     *                          or another rank than its settings say
     */
    public static PeftFolder open(Path folder) {
        if (!Files.isDirectory(folder)) {
            throw new WeightsException(folder + ": " + (Files.exists(folder) ? "a file" : "no such folder") + ", expected the folder of an adapter, with "
                    + CONFIG + " and " + WEIGHTS);
        }
        Path settings = folder.resolve(CONFIG);
        if (!Files.isRegularFile(settings)) {
            throw new WeightsException(folder + ": has no " + CONFIG + ", so it is not an adapter that PEFT could have saved");
        }
        PeftConfig config = PeftConfig.of(StrictJson.read(settings, LONGEST_CONFIG), settings.toString());
        Path tensors = folder.resolve(WEIGHTS);
        if (!Files.isRegularFile(tensors)) {
            tensors = folder.resolve(PICKLED);
        }
        if (!Files.isRegularFile(tensors)) {
            throw new WeightsException(folder + ": has no " + WEIGHTS + " (nor " + PICKLED + ")");
        }
        WeightFile file = WeightFile.open(tensors);
        try {
            return new PeftFolder(folder, config, file);
        } catch (RuntimeException e) {
            file.close();
            throw e;
        }
    }

    /**
     * Writes an adapter, all of it or nothing: the folder appears complete, and an old one stays until then.
     *
     * @param folder    absent or empty; those above it are made
     * @param overwrite whether old content of the folder is replaced
     * @param config    settings; each pair has the rank that they say
     * @param pairs     A and B of each module
     * @param saved     further parameters under their names in the base; their modules are among {@link PeftConfig#modulesToSave}
     * @param metadata  string metadata of the tensor file; PEFT does not read it
     * @throws IllegalArgumentException if the parts do not agree, or the folder holds something and may not be overwritten
     * @throws java.io.UncheckedIOException if the system refuses, as for a full disk
     */
    public static void write(Path folder, boolean overwrite, PeftConfig config, Collection<Pair> pairs,
                             Collection<? extends TensorSource> saved, Map<String, String> metadata) {
        List<TensorSource> tensors = new ArrayList<>();
        for (Pair pair : pairs) {
            int rank = config.strength(pair.module).rank();
            if (!config.targets(pair.module) || pair.a.dims()[0] != rank || pair.b.dims()[1] != rank) {
                throw new IllegalArgumentException(pair.module + ": A " + Arrays.toString(pair.a.dims()) + " and B " + Arrays.toString(pair.b.dims())
                        + ", the settings say rank " + rank + " and " + (config.targets(pair.module) ? "adapt it" : "do not adapt it"));
            }
            tensors.add(new Renamed(PREFIX + pair.module + A, pair.a));
            tensors.add(new Renamed(PREFIX + pair.module + B, pair.b));
        }
        for (TensorSource source : saved) {
            if (!config.saves(source.name())) {
                throw new IllegalArgumentException(source.name() + " is of no module that is saved whole: " + config.modulesToSave());
            }
            tensors.add(new Renamed(PREFIX + source.name(), source));
        }
        Map<String, String> all = new LinkedHashMap<>(metadata);
        all.put("format", "pt");
        try (AtomicFolder made = AtomicFolder.create(folder, overwrite)) {
            SafetensorsWriter.write(made.path().resolve(WEIGHTS), all, tensors);
            try (AtomicFile text = AtomicFile.create(made.path().resolve(CONFIG))) {
                text.write(ByteBuffer.wrap((config.toJson().toPrettyString() + "\n").getBytes(StandardCharsets.UTF_8)));
                text.commit();
            }
            made.commit();
        }
    }

    /** The folder. */
    public Path folder() {
        return folder;
    }

    /** Its settings. */
    public PeftConfig config() {
        return config;
    }

    /** The adapted modules in the order of the file. */
    public List<Layer> layers() {
        return List.copyOf(layers.values());
    }

    /** Parameters that were trained and saved whole, under their names in the base. */
    public List<StoredTensor> saved() {
        return List.copyOf(saved.values());
    }

    /** The open file that its tensors are read from. */
    public WeightFile file() {
        return file;
    }

    /** Bytes of all its tensors. */
    public long bytes() {
        return file.tensors().stream().mapToLong(StoredTensor::length).sum();
    }

    /** Closes the file; closing twice is allowed. */
    @Override
    public void close() {
        file.close();
    }

    /** {@code FOLDER: LoRA, 12 modules, rank 8, 2 parameters saved whole}. */
    @Override
    public String toString() {
        Set<Integer> ranks = new TreeSet<>(layers.values().stream().map(Layer::rank).toList());
        return folder + ": LoRA, " + layers.size() + " modules, rank " + String.join("/", ranks.stream().map(String::valueOf).toList()) + ", "
                + saved.size() + " parameters saved whole";
    }

    /** Tensors into pairs and whole parameters. */
    private void sort() {
        Map<String, StoredTensor> downs = new LinkedHashMap<>();
        Map<String, StoredTensor> ups = new LinkedHashMap<>();
        for (StoredTensor tensor : file.tensors()) {
            String name = tensor.name();
            require(name.startsWith(PREFIX) && name.length() <= LONGEST_NAME, name, "a name that PEFT gives no tensor; it would begin with " + PREFIX);
            require(tensor.dtype().floating(), name, "of " + tensor.dtype() + ", which holds no weights");
            String plain = name.substring(PREFIX.length());
            if (plain.endsWith(A)) {
                downs.put(plain.substring(0, plain.length() - A.length()), tensor);
            } else if (plain.endsWith(B)) {
                ups.put(plain.substring(0, plain.length() - B.length()), tensor);
            } else {
                require(!plain.contains(".lora_"), name, "a part of an adapter that this build does not compute");
                require(config.saves(plain), name, "in the file although modules_to_save, " + config.modulesToSave() + ", does not name its module");
                saved.put(plain, tensor.named(plain));
            }
        }
        downs.forEach((module, a) -> {
            StoredTensor b = ups.remove(module);
            require(b != null, a.name(), "half of a pair: there is no " + PREFIX + module + B);
            layers.put(module, layer(module, a, b));
        });
        for (StoredTensor b : ups.values()) {
            require(false, b.name(), "half of a pair: there is no lora_A beside it");
        }
        if (layers.isEmpty() && saved.isEmpty()) {
            throw new WeightsException(file.path() + ": has no tensors");
        }
    }

    private Layer layer(String module, StoredTensor a, StoredTensor b) {
        long[] down = a.dims();
        long[] up = b.dims();
        boolean matrices = down.length == 2 && up.length == 2;
        boolean filters = down.length == 4 && up.length == 4 && up[2] == 1 && up[3] == 1;
        require((matrices || filters) && up[1] == down[0], a.name(), "A " + Arrays.toString(down) + " with B " + Arrays.toString(up)
                + ", expected [rank, inputs] with [outputs, rank], or those of a convolution");
        int rank = config.strength(module).rank();
        require(down[0] == rank, a.name(), Arrays.toString(down) + ", of rank " + down[0] + ", but " + CONFIG + " says rank " + rank);
        return new Layer(module, rank, config.factor(module), a, b);
    }

    private void require(boolean holds, String tensor, String otherwise) {
        if (!holds) {
            throw new WeightsException(file.path() + ": tensor " + Messages.quoted(tensor) + " is " + otherwise);
        }
    }

    /** A tensor under another name. */
    private record Renamed(String name, TensorSource source) implements TensorSource {
        @Override
        public Dtype dtype() {
            return source.dtype();
        }

        @Override
        public long[] dims() {
            return source.dims();
        }

        @Override
        public void copyTo(Consumer<ByteBuffer> out) {
            source.copyTo(out);
        }
    }
}
