package dev.graft.data;

import java.awt.image.DataBufferByte;
import java.awt.image.Raster;
import java.io.IOException;
import javax.imageio.ImageReader;

/**
 * JPEG to RGB. The JDK's decoder delivers the upsampled components; colours are made here with libjpeg's 16-bit
 * fixed-point arithmetic and Pillow's CMYK rule, so that neither profiles nor guesses of the reader enter.
 */
final class JpegPixels {
    private static final int[] RED_OF_CR = new int[256];
    private static final int[] BLUE_OF_CB = new int[256];
    private static final int[] GREEN_OF_CR = new int[256];
    private static final int[] GREEN_OF_CB = new int[256];

    static {
        int half = 1 << 15;
        for (int i = 0; i < 256; i++) {
            int x = i - 128;
            RED_OF_CR[i] = fixed(1.40200) * x + half >> 16;
            BLUE_OF_CB[i] = fixed(1.77200) * x + half >> 16;
            GREEN_OF_CR[i] = -fixed(0.71414) * x;
            GREEN_OF_CB[i] = -fixed(0.34414) * x + half;
        }
    }

    private JpegPixels() {}

    static Picture decode(byte[] file) throws IOException, Malformed {
        JpegHeader header = JpegHeader.read(file);
        if (!header.complete() && header.scans() > 1) {
            throw new Malformed("is truncated: no end marker after scan " + header.scans());
        }
        boolean[] warned = {false};
        byte[] samples;
        ImageReader reader = Codec.JPEG.open(header.codes());
        try {
            reader.addIIOReadWarningListener((source, warning) -> warned[0] = true);
            Raster raster = reader.readRaster(0, null);
            samples = ((DataBufferByte) raster.getDataBuffer()).getData();
            if (raster.getNumBands() != header.components()
                    || samples.length != (long) header.width() * header.height() * header.components()) {
                throw new Malformed("is damaged: frame of " + header.width() + "x" + header.height() + " decoded to "
                        + raster.getWidth() + "x" + raster.getHeight());
            }
        } finally {
            reader.dispose();
        }
        if (warned[0] && !header.complete()) {
            throw new Malformed("is truncated: ends at byte " + file.length);
        }
        byte[] rgb = switch (header.components()) {
            case 1 -> grey(samples);
            case 3 -> header.luminance() ? luminance(samples, 3) : samples;
            default -> cmyk(header.luminance() ? luminance(samples, 4) : inverted(samples));
        };
        return new Picture(header.width(), header.height(), rgb);
    }

    private static byte[] grey(byte[] samples) {
        byte[] rgb = new byte[samples.length * 3];
        for (int i = 0, o = 0; i < samples.length; i++) {
            byte v = samples[i];
            rgb[o++] = v;
            rgb[o++] = v;
            rgb[o++] = v;
        }
        return rgb;
    }

    /** YCbCr to RGB in place. Of four components the last is inverted: YCCK to inverted CMYK. */
    private static byte[] luminance(byte[] samples, int stride) {
        for (int i = 0; i + stride <= samples.length; i += stride) {
            int y = samples[i] & 0xFF;
            int cb = samples[i + 1] & 0xFF;
            int cr = samples[i + 2] & 0xFF;
            samples[i] = clip(y + RED_OF_CR[cr]);
            samples[i + 1] = clip(y + (GREEN_OF_CB[cb] + GREEN_OF_CR[cr] >> 16));
            samples[i + 2] = clip(y + BLUE_OF_CB[cb]);
            if (stride == 4) {
                samples[i + 3] = (byte) ~samples[i + 3];
            }
        }
        return samples;
    }

    private static byte[] inverted(byte[] samples) {
        for (int i = 0; i < samples.length; i++) {
            samples[i] = (byte) ~samples[i];
        }
        return samples;
    }

    /** Ink amounts to light: white without the key, less the share of each ink, rounded as Pillow's {@code MULDIV255}. */
    private static byte[] cmyk(byte[] samples) {
        byte[] rgb = new byte[samples.length / 4 * 3];
        for (int i = 0, o = 0; i < samples.length; i += 4) {
            int white = 255 - (samples[i + 3] & 0xFF);
            for (int c = 0; c < 3; c++) {
                int product = (samples[i + c] & 0xFF) * white + 128;
                rgb[o++] = clip(white - ((product >> 8) + product >> 8));
            }
        }
        return rgb;
    }

    private static int fixed(double x) {
        return (int) (x * 65536 + 0.5);
    }

    private static byte clip(int value) {
        return (byte) (value < 0 ? 0 : Math.min(value, 255));
    }
}
