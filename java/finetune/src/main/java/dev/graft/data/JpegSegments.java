package dev.graft.data;

import java.io.ByteArrayOutputStream;

/** One walk over the segments of a JPEG file; see {@link JpegHeader} for what it gathers. */
final class JpegSegments {
    private static final int TEM = 0x01;
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

    private final byte[] file;
    private final ByteArrayOutputStream codes;
    private int width;
    private int height;
    private int[] ids = {};
    private boolean jfif;
    private int adobe = UNKNOWN;
    private int orientation = 1;
    private int scans;
    private boolean complete;

    JpegSegments(byte[] file) {
        this.file = file;
        this.codes = new ByteArrayOutputStream(file.length + 2);
    }

    JpegHeader walk() throws Malformed {
        codes.write(file, 0, 2);
        int at = 2;
        while (at >= 0 && at < file.length) {
            at = segment(at);
        }
        if (ids.length == 0 || scans == 0) {
            throw new Malformed(ids.length == 0 ? "is truncated: no frame header" : "is truncated: no scan");
        }
        if ((long) width * height > MOST_PIXELS_A_BYTE * file.length) {
            throw new Malformed("is truncated: " + file.length + " bytes cannot hold " + width + "x" + height);
        }
        codes.write(0xFF);
        codes.write(EOI);
        boolean luminance = ids.length == 3 ? isYcc() : ids.length == 4 && adobe == 2;
        return new JpegHeader(width, height, ids.length, luminance, orientation, scans, complete, codes.toByteArray());
    }

    /** Takes the segment that starts at or after {@code from}; returns where it ends, or -1 after the last. */
    private int segment(int from) throws Malformed {
        int start = nextMarker(file, from);
        if (start < 0) {
            return -1;
        }
        int marker = file[start + 1] & 0xFF;
        int at = start + 2;
        complete = marker == EOI;
        if (complete) {
            return -1;
        }
        if (marker == SOI || marker == TEM || isRestart(marker)) {
            return at;
        }
        if (at + 2 > file.length) {
            return -1;
        }
        int length = Bytes.u16(file, at, true);
        int end = at + length;
        if (length < 2 || end > file.length) {
            throw new Malformed("is truncated: ends at byte " + file.length + " within its headers");
        }
        if (marker >= APP0 && marker <= APP15 || marker == COMMENT) {
            application(marker, at + 2, end);
            return end;
        }
        if (isFrame(marker)) {
            frame(at + 2);
        } else if (marker == SOS) {
            scans++;
            end = endOfScan(file, end);
        }
        codes.write(file, start, end - start);
        return end;
    }

    private void application(int marker, int body, int end) throws Malformed {
        if (marker == APP0) {
            jfif |= Bytes.matches(file, body, 'J', 'F', 'I', 'F', 0);
        } else if (marker == APP1 && Bytes.matches(file, body, 'E', 'x', 'i', 'f', 0, 0)) {
            orientation = Orientation.fromTiff(file, body + 6, end);
        } else if (marker == APP14 && end - body >= 12 && Bytes.matches(file, body, 'A', 'd', 'o', 'b', 'e')) {
            adobe = Bytes.u8(file, body + 11);
        }
    }

    private void frame(int body) throws Malformed {
        if (ids.length > 0) {
            throw new Malformed("has two frames");
        }
        int precision = Bytes.u8(file, body);
        int count = Bytes.u8(file, body + 5);
        if (precision != 8 || count != 1 && count != 3 && count != 4) {
            throw new Malformed("is a JPEG of " + count + " components with " + precision
                    + " bits; 1, 3 or 4 components with 8 bits can be read");
        }
        height = Bytes.u16(file, body + 1, true);
        width = Bytes.u16(file, body + 3, true);
        ids = new int[count];
        for (int i = 0; i < count; i++) {
            ids[i] = Bytes.u8(file, body + 6 + 3 * i);
        }
    }

    /** libjpeg's {@code default_decompress_parms}: JFIF means YCbCr, then Adobe's word, then the component names. */
    private boolean isYcc() {
        if (jfif) {
            return true;
        }
        return adobe != UNKNOWN ? adobe != 0 : !(ids[0] == 'R' && ids[1] == 'G' && ids[2] == 'B');
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
                if (next != 0 && next != 0xFF && !isRestart(next)) {
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

    private static boolean isRestart(int marker) {
        return marker >= 0xD0 && marker <= 0xD7;
    }
}
