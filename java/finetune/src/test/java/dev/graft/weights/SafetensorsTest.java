package dev.graft.weights;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class SafetensorsTest {
    @TempDir
    Path folder;

    private Path file(String header, int dataBytes) throws IOException {
        byte[] text = header.getBytes(StandardCharsets.UTF_8);
        ByteBuffer bytes = ByteBuffer.allocate(8 + text.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putLong(text.length).put(text);
        return Files.write(folder.resolve("model.safetensors"), bytes.array());
    }

    @Test
    void readsWhatThePackageWrites() {
        try (WeightFile types = WeightFile.open(TestFiles.golden("types.safetensors"));
             WeightFile expected = WeightFile.open(TestFiles.golden("types_zip.expected.safetensors"))) {
            TestFiles.assertSameTensors(expected, types);
            assertEquals(Map.of("format", "pt"), types.metadata());
            assertEquals("safetensors", types.format());
            assertEquals(Dtype.BF16, types.tensor("bf16").dtype());
            assertArrayEquals(new long[0], types.tensor("scalar").dims());
            assertArrayEquals(new float[] {1, 0, 1}, types.read("bool"));
            assertArrayEquals(new float[] {250, 251, 252, 253, 254, 255}, types.read("u8"));
            assertArrayEquals(new float[] {-.5f, -.25f, 0, .25f, .5f, .75f}, types.read("f16"));
        }
    }

    @Test
    void theLocationIsWhereTheBytesAre() throws IOException {
        try (WeightFile types = WeightFile.open(TestFiles.golden("types.safetensors"))) {
            StoredTensor f32 = types.tensor("f32");
            ByteBuffer all = ByteBuffer.wrap(Files.readAllBytes(f32.file())).order(ByteOrder.LITTLE_ENDIAN);
            float[] values = types.read(f32);
            for (int i = 0; i < values.length; i++) {
                assertEquals(values[i], all.getFloat((int) f32.offset() + 4 * i));
            }
            assertEquals(24, f32.length());
            assertEquals(values[2], types.map(f32, 8, 100).asFloatBuffer().get(0));
            assertEquals(16, types.map(f32, 8, 100).remaining());
            String unknown = assertThrows(WeightsException.class, () -> types.read("channel_last")).getMessage();
            assertTrue(unknown.contains("did you mean \"channels_last\"?"), unknown);
        }
    }

    @Test
    void readsAnyPart() {
        try (WeightFile types = WeightFile.open(TestFiles.golden("types.safetensors"))) {
            StoredTensor whole = types.tensor("whole");
            FloatBuffer part = FloatBuffer.allocate(5);
            types.read(whole, 7, part);
            assertArrayEquals(Arrays.copyOfRange(types.read(whole), 7, 12), part.array());
            StoredTensor turned = whole.permuted(1, 0);
            types.read(turned, 7, part.clear());
            assertArrayEquals(Arrays.copyOfRange(Layout.permute(types.read(whole), whole.dims(), 1, 0), 7, 12), part.array());
            assertThrows(IllegalArgumentException.class, () -> types.read(whole, 20, FloatBuffer.allocate(5)));
        }
    }

    @Test
    void damagedHeadersAreRefused() throws IOException {
        String one = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}";
        TestFiles.assertRefused(file(one + "}", 4), "\"a\"", "truncated");
        TestFiles.assertRefused(file(one + "}", 12), "4 bytes after the last tensor");
        TestFiles.assertRefused(file(one + ",\"a\":1}", 8), "valid JSON", "uplicate");
        TestFiles.assertRefused(file(one + ",\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[7,9]}}", 9), "\"b\"", "overlaps");
        TestFiles.assertRefused(file(one + ",\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[9,11]}}", 11), "\"b\"", "gap of 1");
        TestFiles.assertRefused(file(one + "", 8), "valid JSON");
        TestFiles.assertRefused(file(one + "}x", 8), "valid JSON");
        TestFiles.assertRefused(file(one + "}{}", 8), "goes on");
        TestFiles.assertRefused(file("{\"a\":{\"dtype\":\"F8_E5M2\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2), "F8_E5M2");
        TestFiles.assertRefused(file("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8), "needs 12 bytes", "span 8");
        TestFiles.assertRefused(file("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8), "shape", "-2");
        TestFiles.assertRefused(file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8), "shape");
        TestFiles.assertRefused(file("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,8]}}", 8), "overflows");
        TestFiles.assertRefused(file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8), "no range");
        TestFiles.assertRefused(file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,99999999999999999999]}}", 8), "no size");
        TestFiles.assertRefused(file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8), "lacks");
        TestFiles.assertRefused(file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8), "unknown key", "x");
        TestFiles.assertRefused(file("{\"a\":7}", 8), "\"a\"", "object");
        TestFiles.assertRefused(file("{\"__metadata__\":{\"k\":1}}", 0), "__metadata__");
        TestFiles.assertRefused(file("{\"a\\nb\\u001b[2J\":7}", 0), "\"a?b?[2J\"");
        TestFiles.assertRefused(file("{\"a\":" + "[".repeat(5000), 0), "\"a\"");
        TestFiles.assertRefused(file("{\"a\":{\"dtype\":\"F32\",\"shape\":[" + "1,".repeat(100) + "2],\"data_offsets\":[0,8]}}", 8), "more than 64");
    }

    @Test
    void impossibleHeaderLengthsAreRefused() throws IOException {
        for (long length : new long[] {0, 1, 100_000_001, Long.MAX_VALUE, -1, Long.MIN_VALUE, 50}) {
            ByteBuffer bytes = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(length).put("{\"a\":{} ".getBytes());
            Path file = Files.write(folder.resolve("x.safetensors"), bytes.array());
            TestFiles.assertRefused(file, "header");
        }
    }

    /** The length's first two bytes are then those with which pickles of protocols 2 to 5 begin. */
    @Test
    void headersWhoseLengthLooksLikeAPickleAreRead() throws IOException {
        String header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
        for (int length : new int[] {0x280, 0x380, 0x480, 0x580}) {
            try (WeightFile file = WeightFile.open(file(header + " ".repeat(length - header.length()), 8))) {
                assertArrayEquals(new float[2], file.read("a"));
            }
        }
    }

    @Test
    void everyTruncationIsRefused() throws IOException {
        byte[] whole = TestFiles.goldenBytes("types.safetensors");
        Path file = folder.resolve("cut.safetensors");
        for (int length = 0; length < whole.length; length += length < 1600 ? 37 : 1) {
            Files.write(file, Arrays.copyOf(whole, length));
            TestFiles.assertRefused(file);
        }
    }

    /** A file of 5 GiB, nearly all of it a hole: one tensor larger than 2 GiB and one behind it. */
    @Test
    void filesBeyondTwoGibAreReadInPlace() throws IOException {
        long large = (5L << 30) / 4;
        String header = "{\"large\":{\"dtype\":\"F32\",\"shape\":[2," + large / 2 + "],\"data_offsets\":[0," + large * 4 + "]},"
                + "\"last\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[" + large * 4 + "," + (large * 4 + 12) + "]}}";
        Path path = file(header, 0);
        long data = Files.size(path);
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
            ByteBuffer values = ByteBuffer.allocate(20).order(ByteOrder.LITTLE_ENDIAN);
            values.putFloat(3).putFloat(4).putFloat(5).putFloat(6).putFloat(7).flip();
            channel.write(values, data + large * 4 - 8);
        }
        try (WeightFile file = WeightFile.open(path)) {
            assertArrayEquals(new float[] {5, 6, 7}, file.read("last"));
            StoredTensor tensor = file.tensor("large");
            FloatBuffer end = FloatBuffer.allocate(3);
            file.read(tensor, large - 3, end);
            assertArrayEquals(new float[] {0, 3, 4}, end.array());
            // transposed, the last two elements of the file are the last of each pair
            file.read(tensor.permuted(1, 0), large - 3, end.clear());
            assertArrayEquals(new float[] {3, 0, 4}, end.array());
            assertEquals(4f, file.map(tensor, large * 4 - 4, 4).getFloat());
        }
    }

    @Test
    void aShardedFolderIsOneFile() throws IOException {
        SafetensorsWriter.write(folder.resolve("model-1.safetensors"), Map.of("format", "pt"),
                List.of(TensorSource.of("module.a", new float[] {1, 2}, 2)));
        SafetensorsWriter.write(folder.resolve("model-2.safetensors"), Map.of(),
                List.of(TensorSource.of("module.b", new float[] {3}, 1), TensorSource.of("module.c", new float[] {4}, 1)));
        Path index = folder.resolve("model.safetensors.index.json");
        Files.writeString(index, "{\"metadata\":{\"total_size\":16},\"weight_map\":{\"module.a\":\"model-1.safetensors\","
                + "\"module.b\":\"model-2.safetensors\"}}");
        for (Path opened : new Path[] {folder, index}) {
            try (WeightFile file = WeightFile.open(opened)) {
                assertArrayEquals(new float[] {1, 2}, file.read("a"));
                assertArrayEquals(new float[] {3}, file.read("b"));
                assertEquals("module.", file.strippedPrefix());
                assertEquals("sharded safetensors", file.format());
                assertEquals("model-2.safetensors", file.tensor("b").file().getFileName().toString());
                assertEquals(1, file.others().size());
                assertTrue(file.others().get(0).contains("module.c"));
            }
        }
        Files.writeString(index, "{\"weight_map\":{\"a\":\"../model-1.safetensors\"}}");
        TestFiles.assertRefused(index, "\"a\"", "beside the index");
        Files.writeString(index, "{\"weight_map\":{\"a\":\"absent.safetensors\"}}");
        TestFiles.assertRefused(index, "absent.safetensors");
        Files.writeString(index, "{\"weight_map\":{\"z\":\"model-1.safetensors\"}}");
        TestFiles.assertRefused(index, "\"z\"", "not in its shard");
        Files.writeString(index, "{\"weight_map\":{}}");
        TestFiles.assertRefused(index, "weight_map");
        Files.writeString(index, "{\"weight_map\":{\"a\":\"model.safetensors.index.json\"}}");
        TestFiles.assertRefused(index);
    }
}
