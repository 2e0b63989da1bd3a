package dev.graft.weights;

import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

class WeightFileTest {
    @TempDir
    Path folder;

    private List<String> openFilesIn(Path here) throws IOException {
        Path descriptors = Path.of("/proc/self/fd");
        Assumptions.assumeTrue(Files.isDirectory(descriptors), "skipped: no /proc/self/fd");
        try (Stream<Path> links = Files.list(descriptors)) {
            return links.map(link -> {
                try {
                    return Files.readSymbolicLink(link).toString();
                } catch (IOException closedMeanwhile) {
                    return "";
                }
            }).filter(target -> target.startsWith(here.toString())).toList();
        }
    }

    @Test
    void noFileStaysOpenAfterCloseOrRefusal() throws IOException {
        byte[] whole = TestFiles.goldenBytes("types_zip.pth");
        Path good = Files.write(folder.resolve("good.pth"), whole);
        Path cut = Files.write(folder.resolve("cut.pth"), Arrays.copyOf(whole, 3000));
        Files.writeString(folder.resolve("x.index.json"), "{\"weight_map\":{\"f32\":\"good.pth\",\"other\":\"cut.pth\"}}");
        WeightFile open = WeightFile.open(good);
        assertEquals(1, openFilesIn(folder).size(), "the test sees an open file");
        open.read("transposed");
        open.close();
        open.close();
        assertThrows(WeightsException.class, () -> WeightFile.open(cut));
        assertThrows(WeightsException.class, () -> WeightFile.open(folder.resolve("x.index.json")));
        assertEquals(List.of(), openFilesIn(folder));
        WeightsException closed = assertThrows(WeightsException.class, () -> open.read("f32"));
        assertEquals(good + ": cannot be read: ClosedChannelException", closed.getMessage());
    }

    @Test
    void manyThreadsReadOneFile() {
        try (WeightFile file = WeightFile.open(TestFiles.golden("types_zip.pth"))) {
            List<StoredTensor> tensors = file.tensors();
            List<float[]> expected = tensors.stream().map(file::read).toList();
            IntStream.range(0, 2000).parallel().forEach(i -> {
                int which = i % tensors.size();
                assertArrayEquals(expected.get(which), file.read(tensors.get(which)), tensors.get(which).name());
            });
        }
    }

    @Test
    void aFileCutWhileOpenIsAnErrorAndNoCrash() throws IOException {
        byte[] whole = TestFiles.goldenBytes("types.safetensors");
        Path path = Files.write(folder.resolve("types.safetensors"), whole);
        try (WeightFile file = WeightFile.open(path)) {
            Files.write(path, new byte[100]);
            WeightsException cut = assertThrows(WeightsException.class, () -> file.read("f32"));
            TestFiles.assertOneLine(cut, path, "ends before byte", "had " + whole.length + " bytes");
        }
    }

    @Test
    void tensorsOfAnotherFileAreRefused() {
        try (WeightFile one = WeightFile.open(TestFiles.golden("types_zip.pth"));
             WeightFile other = WeightFile.open(TestFiles.golden("types_old.pth"))) {
            assertThrows(IllegalArgumentException.class, () -> one.read(other.tensor("f32")));
            assertThrows(IllegalArgumentException.class, () -> one.copyBytes(one.tensor("transposed"), bytes -> { }));
        }
    }

    @Test
    void aFolderWithOneWeightFileIsThatFile() throws IOException {
        SafetensorsWriter.write(folder.resolve("weights.safetensors"), Map.of(), List.of(TensorSource.of("a", new float[] {2}, 1)));
        try (WeightFile file = WeightFile.open(folder)) {
            assertArrayEquals(new float[] {2}, file.read("a"));
        }
        SafetensorsWriter.write(folder.resolve("more.safetensors"), Map.of(), List.of(TensorSource.of("a", new float[] {3}, 1)));
        TestFiles.assertRefused(folder, "2 safetensors files");
        SafetensorsWriter.write(folder.resolve("model.safetensors"), Map.of(), List.of(TensorSource.of("a", new float[] {4}, 1)));
        try (WeightFile file = WeightFile.open(folder)) {
            assertArrayEquals(new float[] {4}, file.read("a"));
        }
    }

    @Test
    void anAtomicFileAppearsAtItsCommitOnly() throws IOException {
        Path target = Files.writeString(folder.resolve("a.txt"), "old");
        try (AtomicFile file = AtomicFile.create(target)) {
            file.write(ByteBuffer.wrap("new".getBytes()));
            assertEquals("old", Files.readString(target));
        }
        assertEquals("old", Files.readString(target));
        try (AtomicFile file = AtomicFile.create(target)) {
            file.write(ByteBuffer.wrap("new".getBytes()));
            file.commit();
        }
        assertEquals("new", Files.readString(target));
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(List.of("a.txt"), files.map(f -> f.getFileName().toString()).toList());
        }
    }
}
