package dev.graft.data;

import java.awt.image.BufferedImage;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.io.IOException;
import javax.imageio.ImageReader;

/**
 * PNG and BMP to RGB from the stored samples, not through the JDK's colour spaces (which would change greys). More than
 * 8 bits keep their upper 8; fewer are spread over 0..255.
 */
final class RasterPixels {
    private RasterPixels() {}

    static Picture decode(byte[] file, Header header) throws IOException, Malformed {
        BufferedImage image;
        boolean[] warned = {false};
        ImageReader reader = header.format() == Header.Format.PNG
                ? Codec.PNG.open(file)
                : Codec.BMP.open(BmpHeader.withTrueLength(file));
        try {
            reader.addIIOReadWarningListener((source, warning) -> warned[0] = true);
            image = reader.read(0);
        } finally {
            reader.dispose();
        }
        if (warned[0]) {
            throw new Malformed("is damaged: picture data ends early");
        }
        int width = image.getWidth();
        int height = image.getHeight();
        if (width != header.width() || height != header.height()) {
            throw new Malformed("is damaged: decoded to " + width + "x" + height);
        }
        byte[] rgb = new byte[Math.multiplyExact(Math.multiplyExact(width, height), 3)];
        Raster raster = image.getRaster();
        byte[][] levels = levels(image, raster);
        int bands = raster.getNumBands();
        int[] row = new int[width * bands];
        int o = 0;
        for (int y = 0; y < height; y++) {
            raster.getPixels(0, y, width, 1, row);
            for (int x = 0; x < width; x++) {
                for (int c = 0; c < 3; c++) {
                    int band = bands < 3 ? 0 : c;
                    int sample = row[x * bands + band];
                    byte[] table = levels[c];
                    rgb[o++] = table == null ? (byte) (sample >> 8) : table[sample];
                }
            }
        }
        return new Picture(width, height, rgb);
    }

    /** Per colour the 8-bit value of each sample; null stands for 16-bit samples. */
    private static byte[][] levels(BufferedImage image, Raster raster) {
        byte[][] levels = new byte[3][];
        if (image.getColorModel() instanceof IndexColorModel palette) {
            for (int c = 0; c < 3; c++) {
                levels[c] = new byte[Math.max(256, palette.getMapSize())];
            }
            palette.getReds(levels[0]);
            palette.getGreens(levels[1]);
            palette.getBlues(levels[2]);
            return levels;
        }
        for (int c = 0; c < 3; c++) {
            int bits = raster.getSampleModel().getSampleSize(raster.getNumBands() < 3 ? 0 : c);
            if (bits <= 8) {
                int top = (1 << bits) - 1;
                levels[c] = new byte[top + 1];
                for (int v = 0; v <= top; v++) {
                    levels[c][v] = (byte) (v * 255 / top);
                }
            }
        }
        return levels;
    }
}
