package dev.graft.weights;

import dev.graft.golden.DataFolder;
import java.io.IOException;
import java.io.InputStream;
import java.net.URISyntaxException;
import java.nio.file.Path;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Files the tests read, and what every refusal must look like. */
final class TestFiles {
    private TestFiles() {
    }

    /** A committed golden file, made by make_weight_files.py. */
    static Path golden(String name) {
        try {
            return Path.of(TestFiles.class.getResource(name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    static byte[] goldenBytes(String name) throws IOException {
        try (InputStream in = TestFiles.class.getResourceAsStream(name)) {
            return in.readAllBytes();
        }
    }

    /** A published checkpoint of the data folder; skips the test where there is no such folder. */
    static Path published(String name) {
        return DataFolder.weights(name);
    }

    /** The file is refused with one line that begins with its path and contains the words. */
    static void assertRefused(Path file, String... words) {
        WeightsException refusal = assertThrows(WeightsException.class, () -> WeightFile.open(file).close());
        assertOneLine(refusal, file, words);
    }

    static void assertOneLine(WeightsException refusal, Path file, String... words) {
        String message = refusal.getMessage();
        assertTrue(message.startsWith(file + ": "), message);
        assertFalse(message.contains("\n"), message);
        assertTrue(message.length() < 1000, message);
        for (String word : words) {
            assertTrue(message.contains(word), "expected <" + word + "> in: " + message);
        }
    }

    /** Both files hold the same names, sizes and values, bit for bit after widening. */
    static void assertSameTensors(WeightFile expected, WeightFile actual) {
        assertEquals(expected.tensors().stream().map(StoredTensor::name).sorted().toList(),
                actual.tensors().stream().map(StoredTensor::name).sorted().toList());
        for (StoredTensor tensor : expected.tensors()) {
            StoredTensor other = actual.tensor(tensor.name());
            assertArrayEquals(tensor.dims(), other.dims(), tensor.name());
            assertArrayEquals(expected.read(tensor), actual.read(other), tensor.name());
        }
    }
}
