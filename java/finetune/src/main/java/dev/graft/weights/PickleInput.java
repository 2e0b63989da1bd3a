package dev.graft.weights;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** The bytes of a pickle, read forward through a small buffer, with bounds on every length. Not thread-safe. */
final class PickleInput {
    private static final int BLOCK = 1 << 16;
    /** Most bytes one pickle may have; the tensors' data are not part of it. */
    private static final long LONGEST_PICKLE = 64 << 20;
    private static final int LONGEST_TEXT = 16 << 20;
    private static final int LONGEST_LINE = 256;

    private final FileBytes file;
    private final ByteBuffer block = ByteBuffer.allocate(BLOCK).order(ByteOrder.LITTLE_ENDIAN).limit(0);
    private final long end;
    private long blockEnd;
    private long pickleStart;

    /** Reads from byte {@code start} of the file, never beyond byte {@code end}. */
    PickleInput(FileBytes file, long start, long end) {
        this.file = file;
        this.end = end;
        this.blockEnd = start;
        this.pickleStart = start;
    }

    /** Byte of the file that is read next. */
    long position() {
        return blockEnd - block.remaining();
    }

    /** Begins the count towards the longest pickle anew. */
    void beginPickle() {
        pickleStart = position();
    }

    int unsignedByte() {
        return need(1).get() & 0xff;
    }

    int unsignedShort() {
        return need(2).getShort() & 0xffff;
    }

    int signedInt() {
        return need(4).getInt();
    }

    long signedLong() {
        return need(8).getLong();
    }

    double bigEndianDouble() {
        return Double.longBitsToDouble(Long.reverseBytes(signedLong()));
    }

    /** A two's complement little-endian integer of that many bytes; 0 bytes are 0. */
    BigInteger integer(long length) {
        byte[] bytes = bytes(length);
        for (int i = 0, j = bytes.length - 1; i < j; i++, j--) {
            byte swapped = bytes[i];
            bytes[i] = bytes[j];
            bytes[j] = swapped;
        }
        return bytes.length == 0 ? BigInteger.ZERO : new BigInteger(bytes);
    }

    byte[] bytes(long length) {
        if (length < 0 || length > LONGEST_TEXT) {
            throw failure("a text or number of " + Long.toUnsignedString(length) + " bytes, at most " + LONGEST_TEXT + " are read");
        }
        if (length > end - position()) {
            throw failure("truncated: a text of " + length + " bytes");
        }
        byte[] bytes = new byte[(int) length];
        int done = Math.min(bytes.length, block.remaining());
        block.get(bytes, 0, done);
        if (done < bytes.length) {
            file.read(blockEnd, ByteBuffer.wrap(bytes, done, bytes.length - done));
            blockEnd += bytes.length - done;
            checkLength();
        }
        return bytes;
    }

    /** UTF-8 text; bytes that are no UTF-8 (Python 2 strings) are taken as Latin-1. */
    String text(long length) {
        byte[] bytes = bytes(length);
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException e) {
            return new String(bytes, StandardCharsets.ISO_8859_1);
        }
    }

    /** Text up to the next line feed. */
    String line() {
        StringBuilder line = new StringBuilder();
        for (int c = unsignedByte(); c != '\n'; c = unsignedByte()) {
            if (line.length() == LONGEST_LINE) {
                throw failure("a name of more than " + LONGEST_LINE + " characters");
            }
            line.append((char) c);
        }
        return line.toString();
    }

    /** The exception for this place of this file. */
    WeightsException failure(String problem) {
        return new WeightsException(file.path() + ": pickle, byte " + position() + ": " + problem);
    }

    private ByteBuffer need(int count) {
        if (block.remaining() < count) {
            if (count > end - position()) {
                throw failure("truncated in the middle of an instruction");
            }
            block.compact();
            block.limit((int) Math.min(block.capacity(), block.position() + (end - blockEnd)));
            int missing = block.remaining();
            file.read(blockEnd, block);
            blockEnd += missing;
            block.flip();
            checkLength();
        }
        return block;
    }

    private void checkLength() {
        if (position() - pickleStart > LONGEST_PICKLE) {
            throw failure("longer than " + LONGEST_PICKLE + " bytes");
        }
    }
}
