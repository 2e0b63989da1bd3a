package dev.graft.weights;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

import static dev.graft.weights.PickleBytes.*;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** What old versions of PyTorch and Python 2 wrote and torch.save no longer does, written here instruction by instruction. */
class CraftedFilesTest {
    @TempDir
    Path folder;

    private static PickleBytes pickle() {
        return new PickleBytes();
    }

    private WeightFile zip(PickleBytes pickle, float... values) throws IOException {
        return WeightFile.open(PickleBytes.zip(folder.resolve("x.pth"), pickle.stop(), Map.of("data/0", floats(values))));
    }

    /** PyTorch 0.4 and before described a storage that is part of another by key, first element and number of elements. */
    @Test
    void aViewOfAStorageBeginsWhereItSays() throws IOException {
        PickleBytes object = pickle().op(EMPTY_DICT).text("w").global("torch._utils", "_rebuild_tensor").op(MARK)
                .op(MARK).text("storage").global("torch", "FloatStorage").text("7").text("cpu").number(6)
                .op(MARK).text("8").number(2).number(4).op(TUPLE).op(TUPLE, BINPERSID)
                .number(1).numbers(3).numbers(1).op(TUPLE, REDUCE, SETITEM);
        Path file = PickleBytes.old(folder.resolve("x.pth"), object.stop(), Map.of("7", floats(0, 1, 2, 3, 4, 5)), 4);
        try (WeightFile opened = WeightFile.open(file)) {
            assertArrayEquals(new float[] {3, 4, 5}, opened.read("w"));
        }
        PickleBytes outside = pickle().op(MARK).text("storage").global("torch", "FloatStorage").text("7").text("cpu").number(6)
                .op(MARK).text("8").number(3).number(4).op(TUPLE).op(TUPLE, BINPERSID);
        TestFiles.assertRefused(PickleBytes.old(file, outside.stop(), Map.of("7", new byte[24]), 4), "view of a storage");
    }

    @Test
    void theOldFormatsStoragesAgreeWithTheirDescription() throws IOException {
        byte[] object = pickle().op(EMPTY_DICT).text("w").tensor(2, 0, new long[] {2}, new long[] {1}).op(SETITEM).stop();
        Path file = folder.resolve("x.pth");
        PickleBytes.old(file, object, Map.of("0", floats(1, 2)), 4);
        try (WeightFile opened = WeightFile.open(file)) {
            assertArrayEquals(new float[] {1, 2}, opened.read("w"));
        }
        TestFiles.assertRefused(PickleBytes.old(file, object, Map.of("0", floats(1, 2, 3)), 4), "has 3 elements, its description 2");
        TestFiles.assertRefused(PickleBytes.old(file, object, Map.of("0", floats(1, 2)), 1), "truncated");
        TestFiles.assertRefused(PickleBytes.old(file, object, Map.of(), 4), "has no data");
        TestFiles.assertRefused(PickleBytes.old(file, object, Map.of("0", floats(1, 2), "9", floats(3)), 4), "\"9\"", "belongs to no tensor");
    }

    @Test
    void python2StringsAndPairListsAreRead() throws IOException {
        PickleBytes object = pickle().global("collections", "OrderedDict").op(EMPTY_LIST)
                .op(EMPTY_LIST).oldText("caf\u00e9").op(APPEND).tensor(2, 0, new long[] {2}, new long[] {1}).op(APPEND).op(APPEND)
                .op(TUPLE1, REDUCE);
        try (WeightFile file = zip(object, 5, 6)) {
            assertArrayEquals(new float[] {5, 6}, file.read("caf\u00e9"));
        }
    }

    @Test
    void anUntypedStorageTakesTheTypeOfItsTensor() throws IOException {
        PickleBytes object = pickle().op(EMPTY_DICT).text("w").global("torch._utils", "_rebuild_tensor_v3").op(MARK)
                .op(MARK).text("storage").global("torch.storage", "UntypedStorage").text("0").text("cpu").number(8).op(TUPLE, BINPERSID)
                .number(1).numbers(1).numbers(1).op(NEWFALSE, NONE).global("torch", "float32").op(TUPLE, REDUCE, SETITEM);
        try (WeightFile file = zip(object, 5, 6)) {
            assertEquals(Dtype.F32, file.tensor("w").dtype());
            assertArrayEquals(new float[] {6}, file.read("w"));
        }
    }

    /** Texts, numbers and names across every boundary of the input's buffer. */
    @Test
    void picklesLargerThanTheInputsBufferAreRead() throws IOException {
        for (int length : new int[] {65_500, 65_523, 65_536, 200_001}) {
            PickleBytes object = pickle().op(EMPTY_DICT).text("note").text("x".repeat(length)).op(SETITEM).text("numbers").op(MARK);
            for (int i = 0; i < 20_000; i++) {
                object.number(i * 1_000_003L);
            }
            object.op(TUPLE, SETITEM).text("last").number(1L << 60).op(SETITEM)
                    .text("w").tensor(2, 0, new long[] {2}, new long[] {1}).op(SETITEM);
            try (WeightFile file = zip(object, 5, 6)) {
                String note = "note = \"" + "x".repeat(120) + "...\"";
                assertEquals(List.of(note, "numbers (tuple of 20000)", "last = 1152921504606846976"), file.others());
                assertArrayEquals(new float[] {5, 6}, file.read("w"));
            }
        }
    }

    private static PickleBytes stateUnder(PickleBytes pickle, String key) {
        return pickle.text(key).op(EMPTY_DICT).text("w").tensor(2, 0, new long[] {2}, new long[] {1}).op(SETITEM, SETITEM);
    }

    @Test
    void theStateDictIsFoundUnderTheUsualKeys() throws IOException {
        for (String key : List.of("state_dict", "model_state_dict", "model", "net", "my_own_key")) {
            try (WeightFile file = zip(stateUnder(pickle().op(EMPTY_DICT).text("epoch").number(3).op(SETITEM), key), 5, 6)) {
                assertEquals(key, file.stateKey());
                assertEquals(List.of("epoch = 3"), file.others());
                assertArrayEquals(new float[] {5, 6}, file.read("w"));
            }
        }
        try (WeightFile file = zip(stateUnder(stateUnder(pickle().op(EMPTY_DICT), "state_dict_ema"), "state_dict"), 5, 6)) {
            assertEquals("state_dict", file.stateKey());
            assertEquals(List.of("state_dict_ema (dictionary of 1)"), file.others());
        }
        PickleBytes nested = stateUnder(pickle().op(EMPTY_DICT).text("model").op(EMPTY_DICT), "state_dict").op(SETITEM);
        try (WeightFile file = zip(nested, 5, 6)) {
            assertEquals("model.state_dict", file.stateKey());
        }
    }

    @Test
    void severalStateDictsUnderForeignKeysAreNotGuessed() throws IOException {
        PickleBytes two = stateUnder(stateUnder(pickle().op(EMPTY_DICT), "generator"), "discriminator");
        Path file = PickleBytes.zip(folder.resolve("gan.pth"), two.stop(), Map.of("data/0", new byte[8]));
        TestFiles.assertRefused(file, "several state dicts", "\"generator\", \"discriminator\"");
    }
}
