package dev.graft.weights;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.MappedByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * The tensors of a weight file, listed with their places and read when asked for. Opens safetensors files, indices of
 * shards ({@code *.index.json}), folders that hold one of these, and PyTorch checkpoints of both formats, told apart by
 * content. A prefix that a wrapper gave to all names ({@code module.}, {@code _orig_mod.}) is stripped and reported.
 *
 * <p>Holds one open file per shard until closed. Thread-safe: any number of threads may read.
 */
public final class WeightFile implements AutoCloseable {
    private static final int BLOCK = 1 << 20;

    private final Path path;
    private final FileContents contents;
    private final String strippedPrefix;
    private final Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    private final Map<Path, FileBytes> files;

    private WeightFile(Path path, FileContents contents, Map<Path, FileBytes> files) {
        this.path = path;
        this.contents = contents;
        this.files = files;
        this.strippedPrefix = WrapperPrefix.of(contents.tensors());
        for (StoredTensor tensor : contents.tensors()) {
            StoredTensor named = tensor.named(tensor.name().substring(strippedPrefix.length()));
            if (tensors.put(named.name(), named) != null) {
                throw new WeightsException(path + ": tensor " + Messages.quoted(named.name()) + " is there twice");
            }
        }
    }

    /**
     * Opens a file or folder and lists its tensors; no tensor data is read.
     *
     * @throws WeightsException if there is no such file, its format is unknown, or it is damaged or refused
     */
    public static WeightFile open(Path path) {
        Map<Path, FileBytes> files = new LinkedHashMap<>();
        try {
            Path file = Files.isDirectory(path) ? WeightFormat.inFolder(path) : path;
            return new WeightFile(path, WeightFormat.read(file, files, true), files);
        } catch (RuntimeException e) {
            try {
                closeAll(files);
            } catch (WeightsException suppressed) {
                e.addSuppressed(suppressed);
            }
            throw e;
        }
    }

    /** The path it was opened with. */
    public Path path() {
        return path;
    }

    /** Name of the format: {@code safetensors}, {@code PyTorch (zip)}, {@code PyTorch (old format)}, sharded ones so marked. */
    public String format() {
        return contents.format();
    }

    /** All tensors in the order of the file; unmodifiable. */
    public List<StoredTensor> tensors() {
        return List.copyOf(tensors.values());
    }

    /** Whether a tensor of that name is there. */
    public boolean contains(String name) {
        return tensors.containsKey(name);
    }

    /**
     * The tensor of that name.
     *
     * @throws WeightsException if there is none; the message offers the nearest name
     */
    public StoredTensor tensor(String name) {
        StoredTensor tensor = tensors.get(name);
        if (tensor == null) {
            String nearest = NearestName.of(name, tensors.keySet());
            throw new WeightsException(path + ": no tensor " + Messages.quoted(name)
                    + (nearest == null ? "" : "; did you mean " + Messages.quoted(nearest) + "?"));
        }
        return tensor;
    }

    /** String metadata of a safetensors file; empty for other formats; unmodifiable. */
    public Map<String, String> metadata() {
        return Collections.unmodifiableMap(contents.metadata());
    }

    /** Key under which a training checkpoint held the tensors, such as {@code state_dict}; empty for the top level. */
    public String stateKey() {
        return contents.stateKey();
    }

    /** What else the file holds, in words: {@code epoch = 18}, {@code optimizer (dictionary of 2)}. */
    public List<String> others() {
        return List.copyOf(contents.others());
    }

    /** The prefix that was removed from all names, or an empty text. */
    public String strippedPrefix() {
        return strippedPrefix;
    }

    /** All elements of a tensor as F32, row-major in the order of its axes. */
    public float[] read(String name) {
        return read(tensor(name));
    }

    /**
     * All elements of a tensor of this file, perhaps {@linkplain StoredTensor#permuted permuted}, as F32, row-major in
     * the order of its axes. F64 and integers above 2^24 are rounded to nearest.
     *
     * @throws WeightsException if it has 2^31 elements or more (read it in parts), or the file ends early
     */
    public float[] read(StoredTensor tensor) {
        if (tensor.elements() > Integer.MAX_VALUE - 8) {
            throw new WeightsException(path + ": tensor " + Messages.quoted(tensor.name()) + " has " + tensor.elements()
                    + " elements, too many for one array");
        }
        float[] values = new float[(int) tensor.elements()];
        read(tensor, 0, FloatBuffer.wrap(values));
        return values;
    }

    /**
     * Fills {@code into} with the elements from row-major number {@code first} on.
     *
     * @throws IllegalArgumentException if the tensor has fewer elements than asked for or is of another file
     */
    public void read(StoredTensor tensor, long first, FloatBuffer into) {
        if (first < 0 || into.remaining() > tensor.elements() - first) {
            throw new IllegalArgumentException(tensor + ": " + into.remaining() + " elements from number " + first + " on, it has "
                    + tensor.elements());
        }
        TensorReader.read(bytesOf(tensor), tensor, first, into);
    }

    /**
     * Hands the stored bytes of a contiguous tensor to {@code to}, unchanged, in blocks of at most 1 MiB. The buffer is
     * little-endian and valid during the call only.
     */
    public void copyBytes(StoredTensor tensor, Consumer<ByteBuffer> to) {
        requireContiguous(tensor);
        FileBytes file = bytesOf(tensor);
        ByteBuffer block = ByteBuffer.allocate((int) Math.min(BLOCK, tensor.length())).order(ByteOrder.LITTLE_ENDIAN);
        for (long done = 0; done < tensor.length(); done += block.limit()) {
            block.clear().limit((int) Math.min(block.capacity(), tensor.length() - done));
            file.read(tensor.offset() + done, block);
            to.accept(block.flip());
        }
    }

    /**
     * A read-only little-endian mapping of the bytes of a contiguous tensor, from byte {@code from} of the tensor on, at most
     * {@code most} bytes. It outlives {@link #close()} and is released when the buffer is no longer reachable.
     */
    public MappedByteBuffer map(StoredTensor tensor, long from, int most) {
        requireContiguous(tensor);
        if (from < 0 || from > tensor.length() || most < 0) {
            throw new IllegalArgumentException(tensor + ": bytes from " + from + " on, it has " + tensor.length());
        }
        return bytesOf(tensor).map(tensor.offset() + from, Math.min(most, tensor.length() - from));
    }

    /** Closes the files; closing twice is allowed, reading afterwards is an error. */
    @Override
    public void close() {
        closeAll(files);
    }

    /** {@code FILE: safetensors, 52 tensors}. */
    @Override
    public String toString() {
        return path + ": " + format() + ", " + tensors.size() + " tensors";
    }

    private FileBytes bytesOf(StoredTensor tensor) {
        FileBytes file = files.get(tensor.file());
        if (file == null) {
            throw new IllegalArgumentException(tensor + " is of " + tensor.file() + ", not of " + path);
        }
        return file;
    }

    private static void requireContiguous(StoredTensor tensor) {
        if (!tensor.contiguous()) {
            throw new IllegalArgumentException(tensor + " is not contiguous in its file");
        }
    }

    private static void closeAll(Map<Path, FileBytes> files) {
        WeightsException first = null;
        for (FileBytes file : files.values()) {
            try {
                file.close();
            } catch (WeightsException e) {
                first = first == null ? e : first;
            }
        }
        if (first != null) {
            throw first;
        }
    }
}
