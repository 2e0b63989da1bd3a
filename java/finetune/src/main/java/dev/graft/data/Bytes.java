package dev.graft.data;

/** Bounded reads of big-endian and little-endian numbers from a file held in memory. */
final class Bytes {
    private Bytes() {}

    static int u8(byte[] bytes, int at) throws Malformed {
        if (at < 0 || at >= bytes.length) {
            throw new Malformed("is truncated: ends at byte " + bytes.length);
        }
        return bytes[at] & 0xFF;
    }

    static int u16(byte[] bytes, int at, boolean bigEndian) throws Malformed {
        int first = u8(bytes, at);
        int second = u8(bytes, at + 1);
        return bigEndian ? first << 8 | second : second << 8 | first;
    }

    static int i32(byte[] bytes, int at, boolean bigEndian) throws Malformed {
        int first = u16(bytes, at, bigEndian);
        int second = u16(bytes, at + 2, bigEndian);
        return bigEndian ? first << 16 | second : second << 16 | first;
    }

    static boolean startsWith(byte[] bytes, int... prefix) {
        return matches(bytes, 0, prefix);
    }

    static boolean matches(byte[] bytes, int at, int... expected) {
        if (at < 0 || at > bytes.length - expected.length) {
            return false;
        }
        for (int i = 0; i < expected.length; i++) {
            if ((bytes[at + i] & 0xFF) != expected[i]) {
                return false;
            }
        }
        return true;
    }
}
