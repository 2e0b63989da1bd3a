package dev.graft.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Decodes JPEG (baseline and progressive; grey, colour, CMYK), PNG and BMP to upright 8-bit RGB, with the values of
 * Pillow's {@code ImageOps.exif_transpose(Image.open(file)).convert("RGB")}: transparency and colour profiles are ignored,
 * CMYK is taken as Adobe writes it (inverted). One difference: 16-bit grey keeps its upper 8 bits, as 16-bit colour does,
 * where Pillow clips every value above 255 to white. The format is known by content, never by name. Functions are pure
 * and safe for any number of threads.
 */
public final class PictureDecoder {
    private PictureDecoder() {}

    /** @throws UnreadablePicture if the file is no picture, truncated, damaged or above the default limits */
    public static Picture decode(Path file) {
        return decode(readAll(file, Limits.DEFAULT), file.toString(), Limits.DEFAULT);
    }

    /**
     * Decodes a file held in memory.
     *
     * @param name what messages call it
     * @throws UnreadablePicture if the file is no picture, truncated, damaged or above the limits
     */
    public static Picture decode(byte[] file, String name, Limits limits) {
        Header header = Header.read(file, name, limits);
        try {
            Picture stored = header.format() == Header.Format.JPEG ? JpegPixels.decode(file) : RasterPixels.decode(file, header);
            return Orientation.apply(header.orientation(), stored);
        } catch (Malformed damage) {
            throw new UnreadablePicture(name, damage.getMessage());
        } catch (IOException | RuntimeException damage) {
            // the JDK's readers meet damaged files with exceptions of any kind
            throw new UnreadablePicture(name, "is damaged: " + oneLine(damage), damage);
        }
    }

    static byte[] readAll(Path file, Limits limits) {
        try {
            long size = Files.size(file);
            if (size > limits.bytes()) {
                throw new UnreadablePicture(file.toString(), "has " + size + " bytes, the limit is " + limits.bytes());
            }
            return Files.readAllBytes(file);
        } catch (IOException failure) {
            throw new DataException(file + ": cannot be read: " + oneLine(failure), failure);
        }
    }

    static String oneLine(Throwable failure) {
        String message = failure.getMessage();
        String kind = failure.getClass().getSimpleName();
        return message == null || message.isBlank() ? kind : kind + ": " + message.lines().findFirst().orElse("");
    }
}
