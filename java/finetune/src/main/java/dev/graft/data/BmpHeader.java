package dev.graft.data;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Reads the size of a BMP file and checks that its uncompressed rows are all there. */
final class BmpHeader {
    private static final int OS2_HEADER = 12;
    private static final int RLE8 = 1;
    private static final int RLE4 = 2;

    private BmpHeader() {}

    static Header read(byte[] file) throws Malformed {
        int offset = Bytes.i32(file, 10, false);
        int header = Bytes.i32(file, 14, false);
        boolean os2 = header == OS2_HEADER;
        int width = os2 ? Bytes.u16(file, 18, false) : Bytes.i32(file, 18, false);
        int height = os2 ? Bytes.u16(file, 20, false) : Math.abs(Bytes.i32(file, 22, false));
        int bits = Bytes.u16(file, os2 ? 24 : 28, false);
        int compression = os2 ? 0 : Bytes.i32(file, 30, false);
        if (width > 0 && height > 0 && compression != RLE8 && compression != RLE4) {
            long row = ((long) width * bits + 31) / 32 * 4;
            long needed = (offset & 0xFFFFFFFFL) + row * height;
            if (needed > file.length) {
                throw new Malformed("is truncated: has " + file.length + " bytes of " + needed);
            }
        }
        return new Header(Header.Format.BMP, width, height, 1);
    }

    /** A copy that states its own length: the JDK's reader believes the field, which many writers leave at 0. */
    static byte[] withTrueLength(byte[] file) {
        byte[] copy = file.clone();
        ByteBuffer.wrap(copy).order(ByteOrder.LITTLE_ENDIAN).putInt(2, file.length);
        return copy;
    }
}
