package dev.graft.weights;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

class ZipDirectoryTest {
    @TempDir
    Path folder;

    private static byte[] pickle() {
        return new PickleBytes().op(PickleBytes.EMPTY_DICT).text("w").tensor(2, 0, new long[] {2}, new long[] {1})
                .op(PickleBytes.SETITEM).stop();
    }

    /** An archive that says every size and place in zip64 fields only, as one beyond 4 GiB must. */
    private static byte[] zip64(Map<String, byte[]> records) {
        ByteBuffer zip = ByteBuffer.allocate(1 << 16).order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer directory = ByteBuffer.allocate(1 << 16).order(ByteOrder.LITTLE_ENDIAN);
        records.forEach((name, bytes) -> {
            byte[] text = name.getBytes(StandardCharsets.UTF_8);
            long header = zip.position();
            zip.putInt(0x04034b50).putShort((short) 45).putShort((short) 0x0808).putShort((short) 0).putInt(0).putInt(0).putInt(-1).putInt(-1)
                    .putShort((short) text.length).putShort((short) 20).put(text).putShort((short) 1).putShort((short) 16)
                    .putLong(0).putLong(0).put(bytes);
            directory.putInt(0x02014b50).putShort((short) 45).putShort((short) 45).putShort((short) 0x0808).putShort((short) 0).putInt(0).putInt(0)
                    .putInt(-1).putInt(-1).putShort((short) text.length).putShort((short) (28 + 6)).putShort((short) 0).putShort((short) 0)
                    .putShort((short) 0).putInt(0).putInt(-1).put(text)
                    .putShort((short) 7).putShort((short) 2).putShort((short) 0)
                    .putShort((short) 1).putShort((short) 24).putLong(bytes.length).putLong(bytes.length).putLong(header);
        });
        long start = zip.position();
        long length = directory.flip().remaining();
        zip.put(directory);
        long end64 = zip.position();
        zip.putInt(0x06064b50).putLong(44).putShort((short) 45).putShort((short) 45).putInt(0).putInt(0).putLong(records.size())
                .putLong(records.size()).putLong(length).putLong(start);
        zip.putInt(0x07064b50).putInt(0).putLong(end64).putInt(1);
        zip.putInt(0x06054b50).putShort((short) 0).putShort((short) 0).putShort((short) -1).putShort((short) -1).putInt(-1).putInt(-1)
                .putShort((short) 0);
        byte[] bytes = new byte[zip.flip().remaining()];
        zip.get(bytes);
        return bytes;
    }

    @Test
    void sizesAndPlacesComeFromZip64Fields() throws IOException {
        byte[] archive = zip64(new TreeMap<>(Map.of("m/data.pkl", pickle(), "m/data/0", PickleBytes.floats(3, 4))));
        Path file = Files.write(folder.resolve("x.pth"), archive);
        try (WeightFile opened = WeightFile.open(file)) {
            assertArrayEquals(new float[] {3, 4}, opened.read("w"));
            StoredTensor w = opened.tensor("w");
            assertEquals(3f, ByteBuffer.wrap(archive).order(ByteOrder.LITTLE_ENDIAN).getFloat((int) w.offset()));
        }
        ByteBuffer broken = ByteBuffer.wrap(archive).order(ByteOrder.LITTLE_ENDIAN);
        broken.putLong(archive.length - 22 - 20 + 8, 1L << 50);
        TestFiles.assertRefused(Files.write(file, broken.array()), "zip64");
    }

    @Test
    void compressedRecordsAreRefused() throws IOException {
        Path file = folder.resolve("x.pth");
        try (OutputStream to = Files.newOutputStream(file); ZipOutputStream zip = new ZipOutputStream(to)) {
            zip.putNextEntry(new ZipEntry("m/data.pkl"));
            zip.write(pickle());
            zip.closeEntry();
        }
        TestFiles.assertRefused(file, "\"m/data.pkl\"", "compressed");
    }

    @Test
    void archivesThatAreNoCheckpointAreRefused() throws IOException {
        Path file = folder.resolve("x.npz");
        try (OutputStream to = Files.newOutputStream(file); ZipOutputStream zip = new ZipOutputStream(to)) {
            zip.putNextEntry(new ZipEntry("arr_0.npy"));
            zip.closeEntry();
        }
        TestFiles.assertRefused(file, "0 records data.pkl");
    }

    @Test
    void recordsOfTheOtherByteOrderAreRefused() throws IOException {
        Path file = PickleBytes.zip(folder.resolve("x.pth"), pickle(), Map.of("data/0", PickleBytes.floats(1, 2), "byteorder", "big".getBytes()));
        TestFiles.assertRefused(file, "byte order \"big\"", "expected little");
        ByteArrayOutputStream old = new ByteArrayOutputStream();
        old.writeBytes(new PickleBytes().op(0x8a, 10).raw(PickleBytes.MAGIC).stop());
        old.writeBytes(new PickleBytes().number(1001).stop());
        old.writeBytes(new PickleBytes().op(PickleBytes.EMPTY_DICT).text("little_endian").op(PickleBytes.NEWFALSE, PickleBytes.SETITEM).stop());
        TestFiles.assertRefused(Files.write(folder.resolve("old.pth"), old.toByteArray()), "little-endian");
    }
}
