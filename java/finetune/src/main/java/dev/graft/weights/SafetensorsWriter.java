package dev.graft.weights;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Writes safetensors files, of any size, atomically. The bytes depend on the content alone: tensors stand in the order of
 * the safetensors package (wider types first, then by name), metadata by key, and the header is padded to 8 bytes.
 */
public final class SafetensorsWriter {
    /** The package's order of types: the widest first, so that every tensor is aligned. */
    private static final List<Dtype> ORDER = List.of(Dtype.I64, Dtype.F64, Dtype.F32, Dtype.I32, Dtype.BF16, Dtype.F16, Dtype.I16,
            Dtype.I8, Dtype.U8, Dtype.BOOL);

    private SafetensorsWriter() {
    }

    /**
     * Writes the file; a file that is there is replaced once the new one is complete.
     *
     * @param target   the file, in a folder that exists
     * @param metadata string metadata; may be empty
     * @param sources  the tensors in any order; each is asked for its bytes once
     * @throws IllegalArgumentException     if a name is there twice or a source hands over more or fewer bytes than it described
     * @throws java.io.UncheckedIOException if the system refuses, as for a full disk; the old file is left as it was
     */
    public static void write(Path target, Map<String, String> metadata, Collection<? extends TensorSource> sources) {
        List<TensorSource> sorted = new ArrayList<>(sources);
        sorted.sort(Comparator.comparingInt((TensorSource s) -> ORDER.indexOf(s.dtype())).thenComparing(TensorSource::name));
        byte[] header = header(metadata, sorted);
        try (AtomicFile file = AtomicFile.create(target)) {
            file.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(header.length).flip());
            file.write(ByteBuffer.wrap(header));
            for (TensorSource source : sorted) {
                copy(source, file);
            }
            file.commit();
        }
    }

    private static void copy(TensorSource source, AtomicFile file) {
        long expected = bytes(source);
        long[] written = {0};
        source.copyTo(buffer -> {
            written[0] += buffer.remaining();
            if (written[0] > expected) {
                throw wrongCount(source, expected, "more");
            }
            file.write(buffer);
        });
        if (written[0] < expected) {
            throw wrongCount(source, expected, "only " + written[0]);
        }
    }

    private static IllegalArgumentException wrongCount(TensorSource source, long expected, String actual) {
        return new IllegalArgumentException("tensor " + source.name() + " hands over " + actual + " bytes, described "
                + source.dtype() + " " + Arrays.toString(source.dims()) + " has " + expected);
    }

    private static byte[] header(Map<String, String> metadata, List<TensorSource> sources) {
        ObjectNode header = StrictJson.MAPPER.createObjectNode();
        if (!metadata.isEmpty()) {
            ObjectNode node = header.putObject(SafetensorsHeader.METADATA);
            new TreeMap<>(metadata).forEach(node::put);
        }
        Set<String> names = new HashSet<>(Set.of(SafetensorsHeader.METADATA));
        long offset = 0;
        for (TensorSource source : sources) {
            if (!names.add(source.name())) {
                throw new IllegalArgumentException("two tensors have the name " + source.name());
            }
            ObjectNode node = header.putObject(source.name()).put("dtype", source.dtype().name());
            ArrayNode shape = node.putArray("shape");
            for (long dim : source.dims()) {
                shape.add(dim);
            }
            long end = offset + bytes(source);
            node.putArray("data_offsets").add(offset).add(end);
            offset = end;
        }
        byte[] text = header.toString().getBytes(StandardCharsets.UTF_8);
        byte[] padded = Arrays.copyOf(text, (text.length + 7) / 8 * 8);
        Arrays.fill(padded, text.length, padded.length, (byte) ' ');
        if (padded.length > SafetensorsHeader.LONGEST) {
            throw new IllegalArgumentException("the header has " + padded.length + " bytes, the format allows " + SafetensorsHeader.LONGEST);
        }
        return padded;
    }

    private static long bytes(TensorSource source) {
        return StoredTensor.product(source.dims()) * source.dtype().bytes();
    }
}
