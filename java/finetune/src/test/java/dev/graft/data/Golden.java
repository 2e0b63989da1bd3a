package dev.graft.data;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/** The committed pictures and what Pillow and torchvision make of them ({@code src/test/fixtures/make_image_fixtures.py}). */
final class Golden {
    /** One result: {@code kind} is decoded, bilinear, bicubic or tensor. */
    record Result(String picture, String kind, int width, int height, byte[] content) {
        @Override
        public String toString() {
            return picture + " " + kind + " " + width + "x" + height;
        }
    }

    static final Map<String, byte[]> PICTURES = pictures();
    static final List<Result> RESULTS = results();

    private Golden() {}

    static List<Result> of(String... kinds) {
        return RESULTS.stream().filter(result -> Arrays.asList(kinds).contains(result.kind())).toList();
    }

    static Picture decoded(String name) {
        return PictureDecoder.decode(PICTURES.get(name), name, Limits.DEFAULT);
    }

    static int largestDifference(byte[] expected, byte[] actual) {
        if (expected.length != actual.length) {
            throw new AssertionError("expected " + expected.length + " bytes, got " + actual.length);
        }
        int largest = 0;
        for (int i = 0; i < expected.length; i++) {
            largest = Math.max(largest, Math.abs((expected[i] & 0xFF) - (actual[i] & 0xFF)));
        }
        return largest;
    }

    private static Map<String, byte[]> pictures() {
        Map<String, byte[]> pictures = new LinkedHashMap<>();
        try (ZipInputStream zip = new ZipInputStream(new ByteArrayInputStream(resource("pictures.zip")))) {
            for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
                pictures.put(entry.getName(), zip.readAllBytes());
            }
            return pictures;
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    private static List<Result> results() {
        try (InputStream zipped = new GZIPInputStream(new ByteArrayInputStream(resource("expected.bin.gz")))) {
            byte[] data = zipped.readAllBytes();
            return new String(resource("expected.csv"), StandardCharsets.US_ASCII).lines().skip(1).map(line -> {
                String[] field = line.split(",");
                int width = Integer.parseInt(field[2]);
                int height = Integer.parseInt(field[3]);
                int offset = Integer.parseInt(field[4]);
                int length = width * height * 3 * (field[1].equals("tensor") ? Float.BYTES : 1);
                return new Result(field[0], field[1], width, height, Arrays.copyOfRange(data, offset, offset + length));
            }).toList();
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    private static byte[] resource(String name) throws IOException {
        try (InputStream in = Golden.class.getResourceAsStream(name)) {
            return in.readAllBytes();
        }
    }
}
