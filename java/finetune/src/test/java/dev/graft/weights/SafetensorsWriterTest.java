package dev.graft.weights;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class SafetensorsWriterTest {
    @TempDir
    Path folder;

    private List<String> filesThere() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(f -> f.getFileName().toString()).sorted().toList();
        }
    }

    private static TensorSource fourBytes(Consumer<Consumer<ByteBuffer>> copy) {
        return new TensorSource() {
            @Override
            public String name() {
                return "z";
            }

            @Override
            public Dtype dtype() {
                return Dtype.U8;
            }

            @Override
            public long[] dims() {
                return new long[] {4};
            }

            @Override
            public void copyTo(Consumer<ByteBuffer> out) {
                copy.accept(out);
            }
        };
    }

    @Test
    void writesTheBytesThatThePackageWrites() throws IOException {
        Path copy = folder.resolve("copy.safetensors");
        for (String name : List.of("types.safetensors", "types_zip.expected.safetensors", "checkpoint_old.expected.safetensors")) {
            try (WeightFile file = WeightFile.open(TestFiles.golden(name))) {
                List<TensorSource> sources = new ArrayList<>(file.tensors().stream().map(t -> TensorSource.of(file, t)).toList());
                Collections.reverse(sources);
                SafetensorsWriter.write(copy, file.metadata(), sources);
            }
            assertArrayEquals(TestFiles.goldenBytes(name), Files.readAllBytes(copy), name);
        }
    }

    @Test
    void whatIsWrittenIsRead() throws IOException {
        float[] many = new float[300_000];
        for (int i = 0; i < many.length; i++) {
            many[i] = i * .5f - 1;
        }
        float[] odd = {Float.NaN, -0f, Float.MIN_VALUE, Float.NEGATIVE_INFINITY};
        Map<String, String> metadata = new TreeMap<>(Map.of("b \"quoted\" \u00e9\n", "x", Card.METADATA_KEY, Card.imageNet("here").toJson()));
        Path path = folder.resolve("out.safetensors");
        SafetensorsWriter.write(path, metadata, List.of(TensorSource.of("many", many, 300, 1000), TensorSource.of("odd", odd, 2, 2),
                TensorSource.of("one", new float[] {7}), TensorSource.of("none", new float[0], 0, 3)));
        try (WeightFile file = WeightFile.open(path)) {
            assertEquals(metadata, file.metadata());
            assertArrayEquals(many, file.read("many"));
            float[] back = file.read("odd");
            for (int i = 0; i < odd.length; i++) {
                assertEquals(Float.floatToRawIntBits(odd[i]), Float.floatToRawIntBits(back[i]));
            }
            assertArrayEquals(new float[] {7}, file.read("one"));
            assertArrayEquals(new long[] {0, 3}, file.tensor("none").dims());
            assertEquals(0, file.read("none").length);
        }
        long header = ByteBuffer.wrap(Files.readAllBytes(path)).order(ByteOrder.LITTLE_ENDIAN).getLong();
        assertEquals(0, header % 8, "the data begin at a multiple of 8");
        assertEquals(List.of("out.safetensors"), filesThere());
    }

    @Test
    void aFailedWriteLeavesTheOldFileAndNothingElse() throws IOException {
        Path path = folder.resolve("out.safetensors");
        SafetensorsWriter.write(path, Map.of(), List.of(TensorSource.of("a", new float[] {1}, 1)));
        byte[] before = Files.readAllBytes(path);
        TensorSource tooFew = fourBytes(out -> out.accept(ByteBuffer.allocate(3)));
        TensorSource tooMany = fourBytes(out -> out.accept(ByteBuffer.allocate(5)));
        TensorSource broken = fourBytes(out -> {
            throw new UncheckedIOException(new IOException("the disk is full"));
        });
        String few = assertThrows(IllegalArgumentException.class, () -> SafetensorsWriter.write(path, Map.of(), List.of(tooFew))).getMessage();
        assertTrue(few.contains("tensor z") && few.contains("only 3 bytes"), few);
        assertThrows(IllegalArgumentException.class, () -> SafetensorsWriter.write(path, Map.of(), List.of(tooMany)));
        assertThrows(UncheckedIOException.class, () -> SafetensorsWriter.write(path, Map.of(), List.of(broken)));
        assertThrows(IllegalArgumentException.class, () -> SafetensorsWriter.write(path, Map.of(),
                List.of(TensorSource.of("a", new float[1], 1), TensorSource.of("a", new float[2], 2))));
        assertArrayEquals(before, Files.readAllBytes(path));
        assertEquals(List.of("out.safetensors"), filesThere());
    }

    @Test
    void aFolderThatIsNotThereIsNamed() {
        Path path = folder.resolve("absent").resolve("out.safetensors");
        String message = assertThrows(UncheckedIOException.class,
                () -> SafetensorsWriter.write(path, Map.of(), List.of())).getMessage();
        assertTrue(message.contains(path.toString()), message);
    }
}
