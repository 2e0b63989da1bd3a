package dev.graft.weights;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * The result of fine-tuning: a folder with {@value #DESCRIPTION} and {@value #WEIGHTS}. The weights are in PyTorch's layout
 * under the original names; with their metadata (card, model, classes) they are of use without the description too.
 *
 * @param folder the folder
 * @param description what its description says
 */
public record Bundle(Path folder, BundleDescription description) {
    /** Name of the file that describes the result. */
    public static final String DESCRIPTION = "bundle.json";
    /** Name of the file that holds the tensors. */
    public static final String WEIGHTS = "weights.safetensors";
    /** Name of the folder of the adapter that was trained and merged, as PEFT saves it; only after a low-rank run. */
    public static final String ADAPTER = "adapter";
    /** Metadata of the weights: name of the network. */
    public static final String MODEL_KEY = "graft.model";
    /** Metadata of the weights: class names in label order, a JSON array. */
    public static final String CLASSES_KEY = "graft.classes";

    private static final long LONGEST_DESCRIPTION = 64 << 20;

    /** Whether this is a folder with a bundle's description. */
    public static boolean is(Path folder) {
        return Files.isRegularFile(folder.resolve(DESCRIPTION));
    }

    /**
     * Reads the description and checks the weights beside it: that they are there, whole and of the same run. No tensor data
     * is read.
     *
     * @throws WeightsException if this is no bundle, or it is damaged, of another format or put together from two
     */
    public static Bundle read(Path folder) {
        if (!Files.isDirectory(folder)) {
            throw new WeightsException(folder + ": " + (Files.exists(folder) ? "a file" : "no such folder") + ", expected the folder of a bundle");
        }
        Path file = folder.resolve(DESCRIPTION);
        if (!Files.isRegularFile(file)) {
            throw new WeightsException(folder + ": has no " + DESCRIPTION + ", so it is not a bundle");
        }
        JsonNode json = StrictJson.read(file, LONGEST_DESCRIPTION);
        BundleDescription description = BundleDescription.of(json, file.toString());
        JsonNode weights = BundleDescription.required(json, "weights", JsonNode::isObject, "an object", file.toString());
        long expected = BundleDescription.required(weights, "bytes", JsonNode::isIntegralNumber, "a whole number", file.toString()).asLong();
        Bundle bundle = new Bundle(folder, description);
        bundle.check(expected);
        return bundle;
    }

    /**
     * Writes a bundle, all of it or nothing: the folder appears complete, and an old one stays until then.
     *
     * @param folder absent or empty; those above it are made
     * @param overwrite whether old content of the folder is replaced
     * @param model name of the network
     * @param classes class names in label order
     * @param card preprocessing; its crop is the network's image size
     * @param source the weights that the run began with, a file or a folder; null for none
     * @param run what the run tells of itself: method, options, history, results
     * @param tensors in PyTorch's layout under the original names
     * @param beside puts what else there is into the folder, of which it is given the path for the time being
     * @throws IllegalArgumentException if the folder holds something and may not be overwritten
     * @throws java.io.UncheckedIOException if the system refuses, as for a full disk
     */
    public static Bundle write(Path folder, boolean overwrite, String model, List<String> classes, Card card, Path source, ObjectNode run,
                               Collection<? extends TensorSource> tensors, Consumer<Path> beside) {
        BundleDescription description = new BundleDescription(Version.current(), model, classes, card, fingerprint(source), run);
        Map<String, String> metadata = metadata(model, classes, card);
        try (AtomicFolder made = AtomicFolder.create(folder, overwrite)) {
            Path weights = made.path().resolve(WEIGHTS);
            SafetensorsWriter.write(weights, metadata, tensors);
            ObjectNode json = description.toJson();
            json.putObject("weights").put("file", WEIGHTS).put("bytes", size(weights));
            try (AtomicFile file = AtomicFile.create(made.path().resolve(DESCRIPTION))) {
                file.write(ByteBuffer.wrap((json.toPrettyString() + "\n").getBytes(StandardCharsets.UTF_8)));
                file.commit();
            }
            beside.accept(made.path());
            made.commit();
        }
        return new Bundle(folder, description);
    }

    /** {@link #write(Path, boolean, String, List, Card, Path, ObjectNode, Collection, Consumer)} with nothing else in the folder. */
    public static Bundle write(Path folder, boolean overwrite, String model, List<String> classes, Card card, Path source, ObjectNode run,
                               Collection<? extends TensorSource> tensors) {
        return write(folder, overwrite, model, classes, card, source, run, tensors, made -> { });
    }

    /** What a tensor file says of itself so that it is of use alone: model, class names in label order, preprocessing. */
    public static Map<String, String> metadata(String model, List<String> classes, Card card) {
        ArrayNode names = StrictJson.MAPPER.createArrayNode();
        classes.forEach(names::add);
        return Map.of("format", "pt", Card.METADATA_KEY, card.toJson(), MODEL_KEY, model, CLASSES_KEY, names.toString());
    }

    /** Throws what {@link #write} would because of the folder: to be called before a long run. */
    public static void requireWritable(Path folder, boolean overwrite) {
        AtomicFolder.require(folder, overwrite);
    }

    /** Throws what {@link #write} would where so many bytes have no room: to be called before a long run. */
    public static void requireSpace(Path folder, long bytes) {
        AtomicFolder.requireSpace(folder, bytes);
    }

    /**
     * Opens a weight file or the weights of a former bundle, which is {@linkplain #read checked}.
     *
     * @throws WeightsException if it cannot be used
     */
    public static WeightFile openWeights(Path path) {
        return WeightFile.open(is(path) ? read(path).weights() : path);
    }

    /**
     * The class names that a weight file carries, in label order; empty where it has none.
     *
     * @throws WeightsException if the metadata holds something else
     */
    public static List<String> classNames(WeightFile file) {
        String stored = file.metadata().get(CLASSES_KEY);
        if (stored == null) {
            return List.of();
        }
        String where = file.path() + ", metadata " + CLASSES_KEY;
        JsonNode json = StrictJson.parse(stored, where);
        List<String> names = new ArrayList<>();
        json.forEach(name -> names.add(name.textValue()));
        if (!json.isArray() || names.isEmpty() || names.contains(null)) {
            throw new WeightsException(where + ": expected a JSON array of texts");
        }
        return List.copyOf(names);
    }

    /** The file that holds the tensors. */
    public Path weights() {
        return folder.resolve(WEIGHTS);
    }

    private void check(long expectedBytes) {
        if (!Files.isRegularFile(weights())) {
            throw new WeightsException(folder + ": the bundle has no " + WEIGHTS);
        }
        if (size(weights()) != expectedBytes) {
            throw new WeightsException(weights() + ": has " + size(weights()) + " bytes, " + DESCRIPTION + " says " + expectedBytes
                    + ": the file is truncated or of another run");
        }
        try (WeightFile file = WeightFile.open(weights())) {
            String model = file.metadata().get(MODEL_KEY);
            if (!description.model().equals(model) || !description.classes().equals(classNames(file))) {
                throw new WeightsException(weights() + ": holds " + model + " with the classes " + classNames(file) + ", " + DESCRIPTION + " says "
                        + description.model() + " with " + description.classes() + ": the files are of two runs");
            }
        }
    }

    private static BundleDescription.Source fingerprint(Path source) {
        return source == null ? null : new BundleDescription.Source(source.toString(),
                KnownFiles.sha256(Files.isDirectory(source) ? WeightFormat.inFolder(source) : source));
    }

    private static long size(Path file) {
        try {
            return Files.size(file);
        } catch (IOException e) {
            throw Messages.unreadable(file, e);
        }
    }
}
