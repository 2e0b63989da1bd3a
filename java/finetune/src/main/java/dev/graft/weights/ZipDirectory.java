package dev.graft.weights;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * The central directory of a zip archive, zip64 included: which record lies where. The JDK's reader does not tell the
 * place of a record's bytes, which is what tensors are mapped by. Source: APPNOTE.TXT, sections 4.3 and 4.5.3.
 */
final class ZipDirectory {
    /** A record: its bytes as stored, and where its local header is. */
    record Entry(String name, int method, boolean encrypted, long size, long storedSize, long header) {
    }

    private static final int END = 0x06054b50;
    private static final int END64 = 0x06064b50;
    private static final int END64_LOCATOR = 0x07064b50;
    private static final int CENTRAL = 0x02014b50;
    private static final int LOCAL = 0x04034b50;
    private static final int END_LENGTH = 22;
    private static final int LONGEST_COMMENT = 0xffff;
    private static final long LONGEST_DIRECTORY = 64 << 20;
    private static final long IN_ZIP64 = 0xffffffffL;

    private final FileBytes file;
    private final Path path;
    private final Map<String, Entry> entries = new LinkedHashMap<>();
    private long start;

    private ZipDirectory(FileBytes file) {
        this.file = file;
        this.path = file.path();
    }

    static ZipDirectory read(FileBytes file) {
        ZipDirectory zip = new ZipDirectory(file);
        zip.readEntries();
        return zip;
    }

    /** Names of all records, in the order of the directory. */
    Set<String> names() {
        return Collections.unmodifiableSet(entries.keySet());
    }

    Entry entry(String name) {
        return entries.get(name);
    }

    /** Byte of the file at which the record's bytes begin; the record must be stored as it is and lie before the directory. */
    long begin(Entry entry) {
        String which = "record " + Messages.quoted(entry.name());
        if (entry.encrypted()) {
            throw damaged(which + " is encrypted");
        }
        if (entry.method() != 0 || entry.size() != entry.storedSize()) {
            throw damaged(which + " is compressed; PyTorch stores records as they are");
        }
        if (entry.header() < 0 || entry.header() > start - 30) {
            throw damaged(which + " begins at byte " + entry.header() + ", outside of the records");
        }
        ByteBuffer local = file.bytes(entry.header(), 30);
        if (local.getInt(0) != LOCAL) {
            throw damaged(which + " has no local header at byte " + entry.header());
        }
        long begin = entry.header() + 30 + (local.getShort(26) & 0xffff) + (local.getShort(28) & 0xffff);
        if (entry.size() < 0 || entry.size() > start - begin) {
            throw damaged(which + " of " + entry.size() + " bytes at byte " + begin + " runs into the directory at byte " + start);
        }
        return begin;
    }

    private void readEntries() {
        int tail = (int) Math.min(file.size(), END_LENGTH + LONGEST_COMMENT);
        ByteBuffer last = file.bytes(file.size() - tail, tail);
        int end = tail - END_LENGTH;
        while (end >= 0 && last.getInt(end) != END) {
            end--;
        }
        if (end < 0) {
            throw damaged("no end of the directory (truncated?)");
        }
        long endAt = file.size() - tail + end;
        long count = last.getShort(end + 10) & 0xffff;
        long length = last.getInt(end + 12) & IN_ZIP64;
        start = last.getInt(end + 16) & IN_ZIP64;
        if (count == 0xffff || length == IN_ZIP64 || start == IN_ZIP64) {
            ByteBuffer end64 = end64(endAt);
            count = end64.getLong(32);
            length = end64.getLong(40);
            start = end64.getLong(48);
        }
        if (start < 0 || length < 0 || length > LONGEST_DIRECTORY || start > endAt - length || count < 0 || count > length / 46) {
            throw damaged("a directory of " + count + " records and " + length + " bytes at byte " + start + " cannot be");
        }
        ByteBuffer directory = file.bytes(start, (int) length);
        for (long i = 0; i < count; i++) {
            Entry entry = next(directory);
            if (entries.put(entry.name(), entry) != null) {
                throw damaged("record " + Messages.quoted(entry.name()) + " is there twice");
            }
        }
    }

    private ByteBuffer end64(long endAt) {
        if (endAt >= 20) {
            ByteBuffer locator = file.bytes(endAt - 20, 20);
            long at = locator.getLong(8);
            if (locator.getInt(0) == END64_LOCATOR && at >= 0 && at <= endAt - 20 - 56) {
                ByteBuffer end64 = file.bytes(at, 56);
                if (end64.getInt(0) == END64) {
                    return end64;
                }
            }
        }
        throw damaged("the zip64 end of the directory is not where it should be");
    }

    private Entry next(ByteBuffer directory) {
        int at = directory.position();
        if (directory.remaining() < 46 || directory.getInt(at) != CENTRAL) {
            throw damaged("an entry of the directory is cut or damaged");
        }
        int nameLength = directory.getShort(at + 28) & 0xffff;
        int extraLength = directory.getShort(at + 30) & 0xffff;
        int commentLength = directory.getShort(at + 32) & 0xffff;
        if (directory.remaining() < 46 + nameLength + extraLength + commentLength) {
            throw damaged("an entry of the directory is cut or damaged");
        }
        String name = new String(directory.array(), at + 46, nameLength, StandardCharsets.UTF_8);
        long[] places = {directory.getInt(at + 24) & IN_ZIP64, directory.getInt(at + 20) & IN_ZIP64, directory.getInt(at + 42) & IN_ZIP64};
        zip64(directory, at + 46 + nameLength, extraLength, places, name);
        directory.position(at + 46 + nameLength + extraLength + commentLength);
        return new Entry(name, directory.getShort(at + 10) & 0xffff, (directory.getShort(at + 8) & 1) != 0, places[0], places[1], places[2]);
    }

    /** The extra field 1 holds, in this order, those of size, stored size and place that are all ones in the entry itself. */
    private void zip64(ByteBuffer directory, int at, int length, long[] places, String name) {
        int end = at + length;
        while (at + 4 <= end) {
            int id = directory.getShort(at) & 0xffff;
            int fieldEnd = at + 4 + (directory.getShort(at + 2) & 0xffff);
            at += 4;
            for (int i = 0; id == 1 && i < places.length; i++) {
                if (places[i] == IN_ZIP64) {
                    if (at + 8 > Math.min(fieldEnd, end)) {
                        throw damaged("record " + Messages.quoted(name) + " has a cut zip64 field");
                    }
                    places[i] = directory.getLong(at);
                    at += 8;
                }
            }
            at = fieldEnd;
        }
    }

    private WeightsException damaged(String problem) {
        return new WeightsException(path + ": damaged or unsupported zip archive: " + problem);
    }
}
