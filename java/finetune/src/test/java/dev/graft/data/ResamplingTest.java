package dev.graft.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.graft.weights.Interpolation;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class ResamplingTest {
    /** No tolerance: Pillow's arithmetic is fixed point and is repeated here. */
    @TestFactory
    Stream<DynamicTest> resizedPixelsArePillows() {
        return Golden.of("bilinear", "bicubic").stream().map(expected -> DynamicTest.dynamicTest(expected.toString(), () -> {
            Picture picture = Golden.decoded(expected.picture());
            Interpolation interpolation = Interpolation.valueOf(expected.kind().toUpperCase(Locale.ROOT));
            Picture resized = Resampling.resize(picture, Box.whole(picture), expected.width(), expected.height(),
                    new Box(0, 0, expected.width(), expected.height()), interpolation);
            assertEquals(0, Golden.largestDifference(expected.content(), resized.rgb()), "largest difference in levels");
        }));
    }

    @Test
    void windowsAreCutsOfTheWhole() {
        Picture picture = Golden.decoded("jpeg_420.jpg");
        for (Interpolation interpolation : Interpolation.values()) {
            Picture whole = Resampling.resize(picture, Box.whole(picture), 31, 29, new Box(0, 0, 31, 29), interpolation);
            Picture part = Resampling.resize(picture, Box.whole(picture), 31, 29, new Box(5, 7, 11, 13), interpolation);
            assertArrayEquals(cut(whole, new Box(5, 7, 11, 13)).rgb(), part.rgb());
        }
    }

    @Test
    void sourcesAreCutOutBefore() {
        Picture picture = Golden.decoded("jpeg_444.jpg");
        Box source = new Box(4, 9, 21, 30);
        Box all = new Box(0, 0, 16, 16);
        Picture cutBefore = cut(picture, source);
        for (Interpolation interpolation : Interpolation.values()) {
            assertArrayEquals(Resampling.resize(cutBefore, Box.whole(cutBefore), 16, 16, all, interpolation).rgb(),
                    Resampling.resize(picture, source, 16, 16, all, interpolation).rgb());
        }
    }

    @Test
    void sameSizeIsACopyOfTheWindow() {
        Picture picture = Golden.decoded("png_rgb.png");
        Box window = new Box(3, 2, 20, 10);
        assertArrayEquals(cut(picture, window).rgb(), Resampling.resize(picture, Box.whole(picture), picture.width(),
                picture.height(), window, Interpolation.BILINEAR).rgb());
    }

    private static Picture cut(Picture picture, Box box) {
        byte[] rgb = new byte[box.width() * box.height() * 3];
        for (int y = 0; y < box.height(); y++) {
            System.arraycopy(picture.rgb(), 3 * ((box.y() + y) * picture.width() + box.x()), rgb, 3 * y * box.width(),
                    3 * box.width());
        }
        return new Picture(box.width(), box.height(), rgb);
    }
}
