package dev.graft.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class PictureDecoderTest {
    /** No tolerance: libjpeg's and zlib's results are defined to the bit, and so is Pillow's colour arithmetic. */
    @TestFactory
    Stream<DynamicTest> everyKindDecodesToPillowsPixels() {
        return Golden.of("decoded").stream().map(expected -> DynamicTest.dynamicTest(expected.picture(), () -> {
            Picture picture = Golden.decoded(expected.picture());
            assertEquals(expected.width() + "x" + expected.height(), picture.width() + "x" + picture.height());
            assertEquals(0, Golden.largestDifference(expected.content(), picture.rgb()), "largest difference in levels");
        }));
    }

    /** Cut at 16 places each; only what Pillow forgives (a missing end marker) may still decode. */
    @TestFactory
    Stream<DynamicTest> truncatedFilesAreUnreadable() {
        return Stream.of("jpeg_420.jpg", "jpeg_progressive.jpg", "jpeg_cmyk.jpg", "png_rgb.png", "png_palette.png",
                "bmp_rgb.bmp", "bmp_palette.bmp").map(name -> DynamicTest.dynamicTest(name, () -> {
            byte[] whole = Golden.PICTURES.get(name);
            for (int part = 0; part < 16; part++) {
                byte[] file = Arrays.copyOf(whole, (int) ((long) whole.length * part / 16));
                UnreadablePicture thrown = assertThrows(UnreadablePicture.class,
                        () -> PictureDecoder.decode(file, "cut.img", Limits.DEFAULT), file.length + " bytes");
                assertTrue(thrown.getMessage().startsWith("cut.img: "), thrown.getMessage());
                assertEquals(1, thrown.getMessage().lines().count());
            }
        }));
    }

    /** Every byte of the first 600 overwritten in turn: a picture or an UnreadablePicture, never another failure. */
    @TestFactory
    Stream<DynamicTest> damagedFilesNeverFailOtherwise() {
        return Golden.PICTURES.keySet().stream().filter(name -> !name.startsWith("exif")).map(name ->
                DynamicTest.dynamicTest(name, () -> {
                    byte[] whole = Golden.PICTURES.get(name);
                    Limits limits = new Limits(1 << 20, 1 << 20);
                    for (int at = 0; at < Math.min(600, whole.length); at++) {
                        byte[] file = whole.clone();
                        file[at] ^= (byte) (at % 2 == 0 ? 0xFF : 0x11);
                        try {
                            PictureDecoder.decode(file, name, limits);
                        } catch (UnreadablePicture expected) {
                            assertEquals(1, expected.getMessage().lines().count(), expected.getMessage());
                        }
                    }
                }));
    }

    @Test
    void picturesAboveTheLimitAreRefusedByTheirHeaders() {
        byte[] file = Golden.PICTURES.get("png_rgb.png");
        UnreadablePicture thrown = assertThrows(UnreadablePicture.class,
                () -> PictureDecoder.decode(file, "big.png", new Limits(46 * 37 - 1, 1 << 20)));
        assertEquals("big.png: 46x37 is 1702 pixels, the limit is 1701", thrown.getMessage());
        assertEquals(46, PictureDecoder.decode(file, "big.png", new Limits(46 * 37, 1 << 20)).width());
    }

    /** A header that claims 178 megapixels over a few bytes of data must not allocate them. */
    @Test
    void smallFilesThatClaimHugePicturesAreRefusedBeforeAllocation() {
        byte[] file = Golden.PICTURES.get("bmp_rgb.bmp").clone();
        file[19] = 0x30;
        file[23] = 0x30;
        assertThrows(UnreadablePicture.class, () -> PictureDecoder.decode(file, "bomb.bmp", Limits.DEFAULT));
    }

    /** Sound chunks around picture data that ends early. */
    @Test
    void pngDataThatEndsEarlyIsDamaged() {
        byte[] whole = Golden.PICTURES.get("png_rgb.png");
        int length = ByteBuffer.wrap(whole).getInt(33);
        ByteBuffer cut = ByteBuffer.allocate(whole.length);
        byte[] type = {'I', 'D', 'A', 'T'};
        byte[] half = Arrays.copyOfRange(whole, 41, 41 + length / 2);
        CRC32 sum = new CRC32();
        sum.update(type);
        sum.update(half);
        cut.put(whole, 0, 33).putInt(half.length).put(type).put(half).putInt((int) sum.getValue());
        cut.put(whole, whole.length - 12, 12);
        byte[] file = Arrays.copyOf(cut.array(), cut.position());
        assertThrows(UnreadablePicture.class, () -> PictureDecoder.decode(file, "early.png", Limits.DEFAULT));
    }

    /** 13000x13000 claimed by a frame header over a kilobyte of codes. */
    @Test
    void jpegsTooShortForTheirSizeAreRefusedBeforeAllocation() {
        byte[] file = Golden.PICTURES.get("jpeg_420.jpg").clone();
        int frame = new String(file, StandardCharsets.ISO_8859_1).indexOf("\u00ff\u00c0");
        ByteBuffer.wrap(file).putShort(frame + 5, (short) 13000).putShort(frame + 7, (short) 13000);
        UnreadablePicture thrown = assertThrows(UnreadablePicture.class,
                () -> PictureDecoder.decode(file, "bomb.jpg", Limits.DEFAULT));
        assertTrue(thrown.getMessage().contains("cannot hold 13000x13000"), thrown.getMessage());
    }

    @Test
    void otherFilesAreNamedAsSuch() {
        UnreadablePicture text = assertThrows(UnreadablePicture.class,
                () -> PictureDecoder.decode("<html>".getBytes(), "a.jpg", Limits.DEFAULT));
        assertEquals("a.jpg: is no JPEG, PNG or BMP picture", text.getMessage());
        UnreadablePicture empty = assertThrows(UnreadablePicture.class,
                () -> PictureDecoder.decode(new byte[0], "b.jpg", Limits.DEFAULT));
        assertEquals("b.jpg: is empty", empty.getMessage());
    }
}
