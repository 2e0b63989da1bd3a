package dev.graft.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import dev.graft.golden.DataFolder;
import dev.graft.weights.Card;
import dev.graft.weights.ChannelOrder;
import dev.graft.weights.Interpolation;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Needs the folder of pictures and checkpoints; skipped without it. */
class RealPicturesTest {
    private static Path zip(String name) {
        return DataFolder.file("images/" + name);
    }

    /** Checksums by {@code src/test/fixtures/make_real_picture_fixtures.py}. */
    @TestFactory
    Stream<DynamicTest> realPicturesAreDecodedAndResizedToPillowsBytes() throws IOException {
        List<String> rows;
        try (var in = RealPicturesTest.class.getResourceAsStream("real.csv")) {
            rows = new String(in.readAllBytes(), StandardCharsets.US_ASCII).lines().skip(1).toList();
        }
        return rows.stream().map(row -> row.split(",")).map(field -> DynamicTest.dynamicTest(field[1], () -> {
            try (ZipSource source = new ZipSource(zip(field[0]))) {
                Picture picture = PictureDecoder.decode(source.read(field[1], Limits.DEFAULT), field[1], Limits.DEFAULT);
                assertEquals(field[2], checksum(picture), "decoded");
                for (Interpolation interpolation : Interpolation.values()) {
                    Card card = new Card(232, 224, new float[3], new float[] {1, 1, 1}, interpolation, ChannelOrder.RGB, "test");
                    String expected = field[interpolation == Interpolation.BILINEAR ? 3 : 4];
                    assertEquals(expected, checksum(Pipeline.evaluation(card).prepare(picture)), interpolation.name());
                }
            }
        }));
    }

    @Test
    void realDatasetsOpenAsTheirDescriptionSays() {
        try (Dataset data = Dataset.open(zip("hymenoptera.zip"), 0)) {
            assertEquals(List.of("ants", "bees"), data.classes());
            assertArrayEquals(new int[] {123, 121}, data.train().counts());
            assertArrayEquals(new int[] {70, 83}, data.val().counts());
            assertNull(data.test());
            assertEquals(List.of(), data.rejected());
        }
        try (Dataset data = Dataset.open(zip("cifar10_jpeg_5k_2k.zip"), 0)) {
            assertEquals(List.of("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
                    data.classes());
            assertEquals(5000, data.train().size());
            assertEquals(2000, data.test().size());
            assertNull(data.val());
            assertEquals(List.of(), data.rejected());
        }
    }

    private static String checksum(Picture picture) {
        CRC32 sum = new CRC32();
        sum.update(picture.rgb());
        return String.format("%08x", sum.getValue());
    }
}
