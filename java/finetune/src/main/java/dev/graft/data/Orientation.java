package dev.graft.data;

/**
 * EXIF orientation (tag 0x0112): 1 upright, 2 mirrored, 3 turned by 180 degrees, 4 flipped, 5 transposed, 6 to be turned
 * clockwise, 7 transverse, 8 to be turned counter-clockwise. Only this tag is read; a broken block counts as upright.
 */
final class Orientation {
    private static final int TAG = 0x0112;
    private static final int SHORT = 3;

    private Orientation() {}

    /** Reads the first directory of the TIFF structure in {@code file[start, end)}. */
    static int fromTiff(byte[] file, int start, int end) {
        try {
            boolean bigEndian = Bytes.matches(file, start, 'M', 'M', 0, 42);
            if (!bigEndian && !Bytes.matches(file, start, 'I', 'I', 42, 0)) {
                return 1;
            }
            long directory = start + (Bytes.i32(file, start + 4, bigEndian) & 0xFFFFFFFFL);
            if (directory + 2 > end) {
                return 1;
            }
            int entries = Bytes.u16(file, (int) directory, bigEndian);
            for (int i = 0; i < entries; i++) {
                long entry = directory + 2 + 12L * i;
                if (entry + 12 > end) {
                    return 1;
                }
                int at = (int) entry;
                if (Bytes.u16(file, at, bigEndian) == TAG) {
                    int value = Bytes.u16(file, at + 8, bigEndian);
                    return Bytes.u16(file, at + 2, bigEndian) == SHORT && value >= 1 && value <= 8 ? value : 1;
                }
            }
            return 1;
        } catch (Malformed truncated) {
            return 1;
        }
    }

    /** The picture as it is to be seen. */
    static Picture apply(int orientation, Picture picture) {
        if (orientation == 1) {
            return picture;
        }
        int width = picture.width();
        int height = picture.height();
        boolean transposed = orientation >= 5;
        int outWidth = transposed ? height : width;
        int outHeight = transposed ? width : height;
        byte[] in = picture.rgb();
        byte[] out = new byte[in.length];
        int o = 0;
        for (int y = 0; y < outHeight; y++) {
            for (int x = 0; x < outWidth; x++) {
                int sx = switch (orientation) {
                    case 2, 3 -> width - 1 - x;
                    case 4 -> x;
                    case 5, 6 -> y;
                    default -> width - 1 - y;
                };
                int sy = switch (orientation) {
                    case 2 -> y;
                    case 3, 4 -> height - 1 - y;
                    case 5, 8 -> x;
                    default -> height - 1 - x;
                };
                int i = 3 * (sy * width + sx);
                out[o++] = in[i];
                out[o++] = in[i + 1];
                out[o++] = in[i + 2];
            }
        }
        return new Picture(outWidth, outHeight, out);
    }
}
