package dev.graft.data;

import java.io.ByteArrayOutputStream;

/**
 * The frame header of a JPEG file and the markers that decide how its components become colours.
 *
 * @param components 1 grey, 3 colour, 4 CMYK or YCCK
 * @param luminance whether 3 components are YCbCr (false: RGB), or 4 components YCCK (false: CMYK), by libjpeg's rules
 * @param scans number of scans; more than one in progressive files
 * @param complete whether an end-of-image marker follows the last scan
 * @param codes the file without its application segments and comments, and with an end marker: what the decoder is
 *     given, so that embedded profiles, thumbnails and metadata cannot change or disturb the decoding
 */
record JpegHeader(int width, int height, int components, boolean luminance, int orientation, int scans, boolean complete,
                  byte[] codes) {
    private static final int SOI = 0xD8;
    private static final int EOI = 0xD9;
    private static final int SOS = 0xDA;
    private static final int APP0 = 0xE0;
    private static final int APP1 = 0xE1;
    private static final int APP14 = 0xEE;
    private static final int APP15 = 0xEF;
    private static final int COMMENT = 0xFE;
    private static final int UNKNOWN = -1;
    /** A scan has at least one bit for each block of 64 pixels. */
    private static final long MOST_PIXELS_A_BYTE = 512;

    Header summary() {
        return new Header(Header.Format.JPEG, width, height, orientation);
    }

    /** Walks the segments of {@code file}, which starts with SOI. */
    static JpegHeader read(byte[] file) throws Malformed {
        ByteArrayOutputStream codes = new ByteArrayOutputStream(file.length + 2);
        codes.write(file, 0, 2);
        int width = 0;
        int height = 0;
        int[] ids = {};
        boolean jfif = false;
        int adobe = UNKNOWN;
        int orientation = 1;
        int scans = 0;
        boolean complete = false;
        int at = 2;
        while (at < file.length) {
            int start = nextMarker(file, at);
            if (start < 0) {
                break;
            }
            int marker = file[start + 1] & 0xFF;
            at = start + 2;
            if (marker == EOI) {
                complete = true;
                break;
            }
            if (marker == SOI || marker == 0x01 || marker >= 0xD0 && marker <= 0xD7) {
                continue;
            }
            if (at + 2 > file.length) {
                break;
            }
            int length = Bytes.u16(file, at, true);
            int body = at + 2;
            int end = at + length;
            if (length < 2 || end > file.length) {
                throw new Malformed("is truncated: ends at byte " + file.length + " within its headers");
            }
            at = end;
            if (marker == APP0) {
                jfif |= Bytes.matches(file, body, 'J', 'F', 'I', 'F', 0);
            } else if (marker == APP1 && Bytes.matches(file, body, 'E', 'x', 'i', 'f', 0, 0)) {
                orientation = Orientation.fromTiff(file, body + 6, end);
            } else if (marker == APP14 && length >= 14 && Bytes.matches(file, body, 'A', 'd', 'o', 'b', 'e')) {
                adobe = Bytes.u8(file, body + 11);
            }
            if (marker >= APP0 && marker <= APP15 || marker == COMMENT) {
                continue;
            }
            if (isFrame(marker)) {
                if (ids.length > 0) {
                    throw new Malformed("has two frames");
                }
                height = Bytes.u16(file, body + 1, true);
                width = Bytes.u16(file, body + 3, true);
                ids = componentIds(file, body);
            }
            if (marker == SOS) {
                scans++;
                at = endOfScan(file, end);
            }
            codes.write(file, start, at - start);
        }
        if (ids.length == 0 || scans == 0) {
            throw new Malformed(ids.length == 0 ? "is truncated: no frame header" : "is truncated: no scan");
        }
        if ((long) width * height > MOST_PIXELS_A_BYTE * file.length) {
            throw new Malformed("is truncated: " + file.length + " bytes cannot hold " + width + "x" + height);
        }
        codes.write(0xFF);
        codes.write(EOI);
        boolean luminance = ids.length == 3 ? isYcc(ids, jfif, adobe) : ids.length == 4 && adobe == 2;
        return new JpegHeader(width, height, ids.length, luminance, orientation, scans, complete, codes.toByteArray());
    }

    /** The position of the 0xFF of the next marker, or -1; bytes between segments are skipped as libjpeg does. */
    private static int nextMarker(byte[] file, int from) {
        for (int i = from; i + 1 < file.length; i++) {
            int next = file[i + 1] & 0xFF;
            if (file[i] == (byte) 0xFF && next != 0 && next != 0xFF) {
                return i;
            }
        }
        return -1;
    }

    /** The first byte after the entropy-coded data: stuffed zeros and restart markers belong to it. */
    private static int endOfScan(byte[] file, int from) {
        int i = from;
        while (i + 1 < file.length) {
            if (file[i] == (byte) 0xFF) {
                int next = file[i + 1] & 0xFF;
                if (next != 0 && next != 0xFF && !(next >= 0xD0 && next <= 0xD7)) {
                    return i;
                }
            }
            i++;
        }
        return file.length;
    }

    private static boolean isFrame(int marker) {
        return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    }

    private static int[] componentIds(byte[] file, int body) throws Malformed {
        int precision = Bytes.u8(file, body);
        int count = Bytes.u8(file, body + 5);
        if (precision != 8 || count != 1 && count != 3 && count != 4) {
            throw new Malformed("is a JPEG of " + count + " components with " + precision
                    + " bits; 1, 3 or 4 components with 8 bits can be read");
        }
        int[] ids = new int[count];
        for (int i = 0; i < count; i++) {
            ids[i] = Bytes.u8(file, body + 6 + 3 * i);
        }
        return ids;
    }

    /** libjpeg's {@code default_decompress_parms}: JFIF means YCbCr, then Adobe's word, then the component names. */
    private static boolean isYcc(int[] ids, boolean jfif, int adobe) {
        if (jfif) {
            return true;
        }
        return adobe != UNKNOWN ? adobe != 0 : !(ids[0] == 'R' && ids[1] == 'G' && ids[2] == 'B');
    }
}
