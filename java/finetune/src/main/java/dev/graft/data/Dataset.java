package dev.graft.data;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;

/**
 * Labelled pictures from a folder, or a zip file of one, read in place. Folders {@code train}, {@code val} and {@code test}
 * are taken as they are; a flat folder per class is split 70/15/15 within each class by seed. Opening reads every file
 * once: broken ones are left out and listed, exact copies in two splits are warned of. Owned by who opens it; its splits
 * are usable until it is closed. Safe for any number of threads.
 */
public final class Dataset implements AutoCloseable {
    private static final double HELD_OUT = 0.15;

    private final Path path;
    private final FileSource source;
    private final List<String> classes;
    private final Map<String, Split> splits = new HashMap<>();
    private final List<Rejected> rejected = new ArrayList<>();
    private final List<String> warnings = new ArrayList<>();

    /** {@link #open(Path, long, OptionalDouble, Limits)} with the default limits and shares. */
    public static Dataset open(Path folderOrZip, long seed) {
        return open(folderOrZip, seed, OptionalDouble.empty(), Limits.DEFAULT);
    }

    /**
     * @param seed decides which pictures of a class go to which split
     * @param valFraction share of each class for validation, in [0, 1): of a flat folder instead of 15 %, of {@code train/}
     *     where there is no {@code val/}
     * @throws DataException if there are no pictures, fewer than two classes, a class without a readable picture to train
     *     on, or classes that differ between splits
     */
    public static Dataset open(Path folderOrZip, long seed, OptionalDouble valFraction, Limits limits) {
        double share = valFraction.orElse(0);
        if (!(share >= 0 && share < 1)) {
            throw new IllegalArgumentException("val fraction must be in [0, 1), got " + share);
        }
        if (!Files.exists(folderOrZip)) {
            throw new DataException(folderOrZip + ": no such folder or zip file");
        }
        FileSource source = Files.isDirectory(folderOrZip) ? new FolderSource(folderOrZip) : new ZipSource(folderOrZip);
        try {
            return new Dataset(folderOrZip, source, seed, valFraction, limits);
        } catch (RuntimeException | Error failure) {
            try {
                source.close();
            } catch (IOException second) {
                failure.addSuppressed(second);
            }
            throw failure;
        }
    }

    private Dataset(Path path, FileSource source, long seed, OptionalDouble valFraction, Limits limits) {
        this.path = path;
        this.source = source;
        Layout layout = Layout.of(source.names(), path.toString());
        classes = layout.classes();
        if (classes.size() < 2) {
            throw new DataException(path + ": has one class only ('" + classes.get(0) + "'), at least two are needed");
        }
        Map<String, List<Sample>> samples = new HashMap<>();
        Map<Long, ByteBuffer> digests = new HashMap<>();
        int[] broken = inspect(layout, limits, samples, digests);
        if (!layout.split()) {
            samples = Stratified.split(samples.get(""), classes.size(), seed, valFraction.orElse(HELD_OUT), HELD_OUT);
        } else if (valFraction.orElse(0) > 0) {
            if (samples.containsKey("val")) {
                throw new DataException(path + ": has a val/ folder, so no share of train/ can be taken for validation");
            }
            samples.putAll(Stratified.split(
                    samples.getOrDefault("train", List.of()), classes.size(), seed, valFraction.getAsDouble(), 0));
        }
        for (String name : Layout.SPLITS) {
            List<Sample> list = samples.get(name);
            if (list != null && !list.isEmpty()) {
                splits.put(name, new Split(name, classes, list, source, limits));
            }
        }
        requireEveryClass(broken);
        warnOfCopies(digests);
        if (!layout.others().isEmpty()) {
            warnings.add(layout.others().size() + " files are no JPEG, PNG or BMP in a class folder and were left out (first: "
                    + layout.others().get(0) + ")");
        }
        if (!rejected.isEmpty()) {
            warnings.add(rejected.size() + " pictures cannot be read and were left out (first: " + rejected.get(0) + ")");
        }
    }

    /** Reads every file; what is sound goes to {@code samples}. Returns the number of broken ones by label. */
    private int[] inspect(
            Layout layout, Limits limits, Map<String, List<Sample>> samples, Map<Long, ByteBuffer> digests) {
        MessageDigest sha = sha256();
        Map<String, Integer> labels = new HashMap<>();
        for (String name : classes) {
            labels.put(name, labels.size());
        }
        int[] broken = new int[classes.size()];
        long id = 0;
        for (Layout.Entry file : layout.files()) {
            List<Sample> list = samples.computeIfAbsent(file.split(), key -> new ArrayList<>());
            int label = labels.get(file.label());
            try {
                byte[] bytes = Split.read(source, file.path(), limits);
                Header.read(bytes, file.path(), limits);
                digests.put(id, ByteBuffer.wrap(sha.digest(bytes)));
                list.add(new Sample(id, label, file.path()));
            } catch (UnreadablePicture damage) {
                rejected.add(new Rejected(file.path(), damage.reason()));
                broken[label]++;
            } catch (DataException failure) {
                rejected.add(new Rejected(file.path(), failure.getMessage()));
                broken[label]++;
            }
            id++;
        }
        return broken;
    }

    private void requireEveryClass(int[] broken) {
        if (splits.isEmpty()) {
            throw new DataException(path + ": none of its " + rejected.size() + " pictures can be read (first: "
                    + rejected.get(0) + ")");
        }
        Split train = splits.get("train");
        if (train == null) {
            return;
        }
        int[] counts = train.counts();
        for (int label = 0; label < counts.length; label++) {
            if (counts[label] == 0) {
                throw new DataException(path + ": class '" + classes.get(label) + "' has no readable picture to train on"
                        + (broken[label] > 0 ? " (" + broken[label] + " are broken)" : "") + "; the classes are " + classes);
            }
        }
    }

    private void warnOfCopies(Map<Long, ByteBuffer> digests) {
        Map<ByteBuffer, Sample> seen = new HashMap<>();
        for (String name : Layout.SPLITS) {
            Split split = splits.get(name);
            if (split == null) {
                continue;
            }
            int copies = 0;
            String first = "";
            for (Sample sample : split.samples()) {
                Sample other = seen.get(digests.get(sample.id()));
                if (other != null) {
                    first = copies++ == 0 ? sample.path() + " = " + other.path() : first;
                }
            }
            split.samples().forEach(sample -> seen.putIfAbsent(digests.get(sample.id()), sample));
            if (copies > 0) {
                warnings.add(copies + " pictures of " + name + " are exact copies of pictures in the splits before it (first: "
                        + first + ")");
            }
        }
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java runtime has SHA-256", impossible);
        }
    }

    /** Class names in the order of their labels. */
    public List<String> classes() {
        return classes;
    }

    /**
     * Checks that a network's outputs fit.
     *
     * @param expected the number of outputs
     * @param network what the message calls the network
     * @throws DataException if the number of classes is another
     */
    public void requireClasses(int expected, String network) {
        if (classes.size() != expected) {
            throw new DataException(path + ": has " + classes.size() + " classes (" + classes.get(0) + ", ...), " + network
                    + " has " + expected + " outputs");
        }
    }

    /** The pictures to train on, or null. */
    public Split train() {
        return splits.get("train");
    }

    /** The pictures to choose by, or null. */
    public Split val() {
        return splits.get("val");
    }

    /** The pictures to measure with at the end, or null. */
    public Split test() {
        return splits.get("test");
    }

    /** The pictures that were left out because they cannot be read, in sorted order. */
    public List<Rejected> rejected() {
        return List.copyOf(rejected);
    }

    /** What the user should know, one line each. */
    public List<String> warnings() {
        return List.copyOf(warnings);
    }

    @Override
    public void close() {
        try {
            source.close();
        } catch (IOException failure) {
            throw new DataException(path + ": cannot be closed: " + PictureDecoder.oneLine(failure), failure);
        }
    }

    @Override
    public String toString() {
        return path + ": " + classes.size() + " classes, " + splits.values();
    }
}
