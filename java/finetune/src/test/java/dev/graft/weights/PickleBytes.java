package dev.graft.weights;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** Writes pickles instruction by instruction, as torch.save and as an attacker would, and zip archives around them. */
final class PickleBytes {
    static final int MARK = '(', STOP = '.', EMPTY_TUPLE = ')', TUPLE = 't', TUPLE1 = 0x85, TUPLE2 = 0x86, REDUCE = 'R',
            EMPTY_DICT = '}', EMPTY_LIST = ']', SETITEM = 's', BUILD = 'b', BINPERSID = 'Q', NONE = 'N', STACK_GLOBAL = 0x93,
            APPEND = 'a', MEMOIZE = 0x94, DUP = '2', NEWTRUE = 0x88, NEWFALSE = 0x89, PROTO = 0x80;
    /** 0x1950a86a20f9469cfc6c, with which torch.save began its files before 1.6. */
    static final byte[] MAGIC = {0x6c, (byte) 0xfc, (byte) 0x9c, 0x46, (byte) 0xf9, 0x20, 0x6a, (byte) 0xa8, 0x50, 0x19};

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    PickleBytes() {
        op(PROTO, 2);
    }

    PickleBytes op(int... codes) {
        for (int code : codes) {
            out.write(code);
        }
        return this;
    }

    PickleBytes global(String module, String name) {
        out.writeBytes(("c" + module + "\n" + name + "\n").getBytes(StandardCharsets.UTF_8));
        return this;
    }

    PickleBytes text(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        return op('X').raw(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(bytes.length).array()).raw(bytes);
    }

    PickleBytes number(long value) {
        return op(0x8a, 8).raw(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array());
    }

    PickleBytes numbers(long... values) {
        op(MARK);
        for (long value : values) {
            number(value);
        }
        return op(TUPLE);
    }

    /** A string as Python 2 pickled it. */
    PickleBytes oldText(String text) {
        return op('U', text.length()).raw(text.getBytes(StandardCharsets.ISO_8859_1));
    }

    PickleBytes raw(byte[] bytes) {
        out.writeBytes(bytes);
        return this;
    }

    /** A storage of that key as torch.save names it. */
    PickleBytes storage(String type, String key, long elements) {
        return op(MARK).text("storage").global("torch", type).text(key).text("cpu").number(elements).op(TUPLE, BINPERSID);
    }

    /** Little-endian F32 values as bytes. */
    static byte[] floats(float... values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return bytes.array();
    }

    /** A tensor by _rebuild_tensor_v2 over a F32 storage "0". */
    PickleBytes tensor(long storageElements, long offset, long[] dims, long[] strides) {
        return global("torch._utils", "_rebuild_tensor_v2").op(MARK).storage("FloatStorage", "0", storageElements).number(offset)
                .numbers(dims).numbers(strides).op(NEWFALSE, NONE, TUPLE, REDUCE);
    }

    byte[] stop() {
        return op(STOP).out.toByteArray();
    }

    /** A file of the old format: machine facts, the pickle, the keys, and for each key its number of elements and its bytes. */
    static Path old(Path file, byte[] pickle, Map<String, byte[]> storages, int elementBytes) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        all.writeBytes(new PickleBytes().op(0x8a, 10).raw(MAGIC).stop());
        all.writeBytes(new PickleBytes().number(1001).stop());
        all.writeBytes(new PickleBytes().op(EMPTY_DICT).text("little_endian").op(NEWTRUE, SETITEM).stop());
        all.writeBytes(pickle);
        PickleBytes keys = new PickleBytes().op(EMPTY_LIST);
        storages.keySet().forEach(key -> keys.text(key).op(APPEND));
        all.writeBytes(keys.stop());
        storages.values().forEach(bytes -> {
            all.writeBytes(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(bytes.length / elementBytes).array());
            all.writeBytes(bytes);
        });
        return Files.write(file, all.toByteArray());
    }

    /** A PyTorch zip with that pickle and those records beside it. */
    static Path zip(Path file, byte[] pickle, Map<String, byte[]> records) throws IOException {
        try (OutputStream to = Files.newOutputStream(file); ZipOutputStream zip = new ZipOutputStream(to)) {
            store(zip, "archive/data.pkl", pickle);
            for (Map.Entry<String, byte[]> record : records.entrySet()) {
                store(zip, "archive/" + record.getKey(), record.getValue());
            }
        }
        return file;
    }

    private static void store(ZipOutputStream zip, String name, byte[] bytes) throws IOException {
        ZipEntry entry = new ZipEntry(name);
        CRC32 sum = new CRC32();
        sum.update(bytes);
        entry.setMethod(ZipEntry.STORED);
        entry.setSize(bytes.length);
        entry.setCrc(sum.getValue());
        zip.putNextEntry(entry);
        zip.write(bytes);
        zip.closeEntry();
    }
}
