package dev.graft.data;

import java.util.zip.CRC32;

/** Walks the chunks of a PNG file: lengths, checksums of the critical chunks, and that IHDR, IDAT and IEND are there. */
final class PngHeader {
    private static final int SIGNATURE = 8;
    private static final int IHDR = 0x49484452;
    private static final int IDAT = 0x49444154;
    private static final int IEND = 0x49454E44;
    private static final int EXIF = 0x65584966;
    /** Deflate's largest ratio is 1032. */
    private static final long MOST_UNPACKED_A_BYTE = 1040;

    private PngHeader() {}

    static Header read(byte[] file) throws Malformed {
        int width = 0;
        int height = 0;
        int orientation = 1;
        int bits = 0;
        boolean data = false;
        for (int at = SIGNATURE; ; ) {
            int length = Bytes.i32(file, at, true);
            int type = Bytes.i32(file, at + 4, true);
            int body = at + 8;
            if (length < 0 || length > file.length - body - 4) {
                throw new Malformed("is truncated: ends at byte " + file.length + " within chunk " + name(type));
            }
            boolean critical = (type & 0x20000000) == 0;
            if (critical) {
                CRC32 sum = new CRC32();
                sum.update(file, at + 4, length + 4);
                if ((int) sum.getValue() != Bytes.i32(file, body + length, true)) {
                    throw new Malformed("is damaged: checksum of chunk " + name(type) + " does not match");
                }
            }
            if (at == SIGNATURE) {
                if (type != IHDR || length != 13) {
                    throw new Malformed("is damaged: starts with chunk " + name(type) + ", expected IHDR");
                }
                width = Bytes.i32(file, body, true);
                height = Bytes.i32(file, body + 4, true);
                bits = Bytes.u8(file, body + 8) * channels(Bytes.u8(file, body + 9));
            } else if (type == IDAT) {
                data = true;
            } else if (type == EXIF) {
                orientation = Orientation.fromTiff(file, body, body + length);
            } else if (type == IEND) {
                break;
            }
            at = body + length + 4;
        }
        if (!data) {
            throw new Malformed("is damaged: no picture data");
        }
        if (width > 0 && height > 0 && ((long) width * bits + 7) / 8 * height > MOST_UNPACKED_A_BYTE * file.length) {
            throw new Malformed("is truncated: " + file.length + " bytes cannot hold " + width + "x" + height);
        }
        return new Header(Header.Format.PNG, width, height, orientation);
    }

    private static int channels(int colourType) throws Malformed {
        return switch (colourType) {
            case 0, 3 -> 1;
            case 2 -> 3;
            case 4 -> 2;
            case 6 -> 4;
            default -> throw new Malformed("is damaged: unknown colour type " + colourType);
        };
    }

    private static String name(int type) {
        StringBuilder name = new StringBuilder();
        for (int shift = 24; shift >= 0; shift -= 8) {
            int c = type >>> shift & 0xFF;
            name.append(c >= ' ' && c < 127 ? (char) c : '?');
        }
        return name.toString();
    }
}
