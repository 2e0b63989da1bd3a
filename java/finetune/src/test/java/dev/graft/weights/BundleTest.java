package dev.graft.weights;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A bundle is there whole or not at all, and reading tells damaged and foreign ones apart. */
class BundleTest {
    private static final List<String> CLASSES = List.of("ants", "bees");
    private static final float[] VALUES = {1, -2, 3.5f, 0};

    @TempDir
    Path folder;

    private Bundle write(Path to, boolean overwrite, TensorSource... tensors) {
        ObjectNode run = JsonNodeFactory.instance.objectNode().put("method", "head");
        return Bundle.write(to, overwrite, "resnet18", CLASSES, Card.imageNet("default of resnet18"), null, run, List.of(tensors));
    }

    private Bundle write(Path to, boolean overwrite) {
        return write(to, overwrite, TensorSource.of("fc.weight", VALUES, 2, 2));
    }

    @Test
    void whatWasWrittenIsRead() {
        write(folder.resolve("new/run"), false);
        Bundle read = Bundle.read(folder.resolve("new/run"));
        assertEquals("resnet18", read.description().model());
        assertEquals(CLASSES, read.description().classes());
        assertEquals(Card.imageNet("default of resnet18"), read.description().card());
        assertEquals("head", read.description().run().path("method").asText());
        assertEquals(Version.current(), read.description().graft());
        assertTrue(Bundle.is(read.folder()));
        try (WeightFile file = Bundle.openWeights(read.folder())) {
            assertArrayEquals(VALUES, file.read("fc.weight"));
            assertEquals(CLASSES, Bundle.classNames(file));
            assertEquals("pt", file.metadata().get("format"));
            assertEquals(224, CardKeys.parse(file.metadata().get(Card.METADATA_KEY), "metadata").crop());
        }
    }

    @Test
    void sourceIsNamedWithItsHash() throws IOException {
        Path source = Files.writeString(folder.resolve("base.pth"), "abc");
        Bundle.write(folder.resolve("run"), false, "resnet18", CLASSES, Card.imageNet("x"), source, JsonNodeFactory.instance.objectNode(),
                List.of(TensorSource.of("fc.weight", VALUES, 2, 2)));
        BundleDescription.Source read = Bundle.read(folder.resolve("run")).description().source();
        assertEquals(source.toString(), read.file());
        // the published SHA-256 of "abc", FIPS 180-2
        assertEquals("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", read.sha256());
    }

    @Test
    void folderWithContentIsRefusedAndKept() throws IOException {
        Path out = Files.createDirectory(folder.resolve("run"));
        write(out, false);
        byte[] before = Files.readAllBytes(out.resolve(Bundle.DESCRIPTION));
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> write(out, false));
        assertTrue(e.getMessage().contains(out + " is not empty"), e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> Bundle.requireWritable(out, false));
        assertArrayEquals(before, Files.readAllBytes(out.resolve(Bundle.DESCRIPTION)));
    }

    @Test
    void overwritingReplacesEverything() throws IOException {
        Path out = Files.createDirectory(folder.resolve("run"));
        Files.writeString(out.resolve("notes.txt"), "old");
        Files.createDirectory(out.resolve("sub"));
        write(out, true);
        Bundle.read(out);
        assertFalse(Files.exists(out.resolve("notes.txt")));
        assertEquals(List.of("run"), names(folder));
    }

    @Test
    void failureInTheMiddleLeavesTheOldAndNothingElse() throws IOException {
        Path out = folder.resolve("run");
        write(out, false);
        byte[] before = Files.readAllBytes(out.resolve(Bundle.WEIGHTS));
        TensorSource full = new TensorSource() {
            @Override
            public String name() {
                return "fc.weight";
            }

            @Override
            public Dtype dtype() {
                return Dtype.F32;
            }

            @Override
            public long[] dims() {
                return new long[] {4};
            }

            @Override
            public void copyTo(Consumer<ByteBuffer> to) {
                to.accept(ByteBuffer.allocate(4));
                throw new UncheckedIOException(new IOException("No space left on device"));
            }
        };
        assertThrows(UncheckedIOException.class, () -> write(out, true, full));
        assertArrayEquals(before, Files.readAllBytes(out.resolve(Bundle.WEIGHTS)));
        assertThrows(UncheckedIOException.class, () -> write(folder.resolve("other"), false, full));
        assertEquals(List.of("run"), names(folder));
    }

    @Test
    void foldersThatCannotBeMadeAreToldBeforehand() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "x");
        assertThrows(IllegalArgumentException.class, () -> Bundle.requireWritable(file, true));
        assertThrows(UncheckedIOException.class, () -> Bundle.requireWritable(file.resolve("run"), false));
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class,
                () -> Bundle.requireWritable(Path.of(System.getProperty("user.dir")), true));
        assertTrue(e.getMessage().contains("working folder"), e.getMessage());
    }

    @Test
    void damageIsNamed() throws IOException {
        Path out = folder.resolve("run");
        write(out, false);
        byte[] weights = Files.readAllBytes(out.resolve(Bundle.WEIGHTS));
        String text = Files.readString(out.resolve(Bundle.DESCRIPTION));

        Files.write(out.resolve(Bundle.WEIGHTS), java.util.Arrays.copyOf(weights, weights.length - 4));
        refused(out, "truncated or of another run");
        Files.delete(out.resolve(Bundle.WEIGHTS));
        refused(out, "has no " + Bundle.WEIGHTS);
        Files.write(out.resolve(Bundle.WEIGHTS), weights);
        Bundle.read(out);

        for (int length : new int[] {0, 1, text.length() / 2, text.length() - 3}) {
            Files.writeString(out.resolve(Bundle.DESCRIPTION), text.substring(0, length));
            refused(out, Bundle.DESCRIPTION);
        }
        Files.writeString(out.resolve(Bundle.DESCRIPTION), text.replace("\"bees\"", "\"wasp\""));
        refused(out, "two runs");
        Files.writeString(out.resolve(Bundle.DESCRIPTION), text.replace("\"format\" : 1", "\"format\" : 7"));
        refused(out, "has format 7, this build reads format 1");
        Files.writeString(out.resolve(Bundle.DESCRIPTION), "{\"a\": 1}");
        refused(out, "not the description of a bundle");
        Files.delete(out.resolve(Bundle.DESCRIPTION));
        refused(out, "not a bundle");
        refused(folder.resolve("absent"), "no such folder");
    }

    private static void refused(Path bundle, String expected) {
        WeightsException e = assertThrows(WeightsException.class, () -> Bundle.read(bundle));
        assertTrue(e.getMessage().contains(expected), e.getMessage());
        assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    }

    private static List<String> names(Path folder) throws IOException {
        try (Stream<Path> content = Files.list(folder)) {
            return content.map(p -> p.getFileName().toString()).sorted().toList();
        }
    }
}
