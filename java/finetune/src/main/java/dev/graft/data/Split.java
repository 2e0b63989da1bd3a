package dev.graft.data;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The pictures of one split, in order of their ids. Immutable; safe for any number of threads while its dataset is open. */
public final class Split {
    private final String name;
    private final List<String> classes;
    private final List<Sample> samples;
    private final FileSource source;
    private final Limits limits;

    Split(String name, List<String> classes, List<Sample> samples, FileSource source, Limits limits) {
        this.name = name;
        this.classes = List.copyOf(classes);
        this.samples = List.copyOf(samples);
        this.source = source;
        this.limits = limits;
    }

    /** Pictures without labels, for prediction; ids are indices into {@code files}. */
    public static Split of(List<Path> files, Limits limits) {
        List<Sample> samples = new ArrayList<>(files.size());
        for (Path file : files) {
            samples.add(new Sample(samples.size(), 0, file.toString()));
        }
        return new Split("files", List.of(), samples, new FolderSource(Path.of("")), limits);
    }

    /** {@code train}, {@code val}, {@code test} or {@code files}. */
    public String name() {
        return name;
    }

    /** Class names by label; empty for pictures without labels. */
    public List<String> classes() {
        return classes;
    }

    /** Its pictures in order of their ids; unmodifiable. */
    public List<Sample> samples() {
        return samples;
    }

    /** Number of pictures. */
    public int size() {
        return samples.size();
    }

    /** How many pictures each class has, by label. */
    public int[] counts() {
        int[] counts = new int[Math.max(1, classes.size())];
        for (Sample sample : samples) {
            counts[sample.label()]++;
        }
        return counts;
    }

    /**
     * Reads and decodes one picture.
     *
     * @throws UnreadablePicture if its content is damaged
     * @throws DataException if the file cannot be read
     */
    public Picture decode(Sample sample) {
        return PictureDecoder.decode(read(source, sample.path(), limits), source.describe(sample.path()), limits);
    }

    static byte[] read(FileSource source, String path, Limits limits) {
        try {
            return source.read(path, limits);
        } catch (IOException failure) {
            throw new DataException(source.describe(path) + ": cannot be read: " + PictureDecoder.oneLine(failure), failure);
        }
    }

    @Override
    public String toString() {
        return name + ": " + samples.size() + " pictures, " + classes.size() + " classes";
    }
}
