package dev.graft.weights;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;

import static dev.graft.weights.PickleBytes.*;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** A pickle is a program; nothing of it is run, and what is not a state dict is refused by name. */
class HostilePickleTest {
    private static final Map<String, byte[]> FOUR_FLOATS = Map.of("data/0", new byte[16]);

    @TempDir
    Path folder;

    private Path zip(PickleBytes pickle) throws IOException {
        return PickleBytes.zip(folder.resolve("x.pth"), pickle.stop(), FOUR_FLOATS);
    }

    /** Both containers reach the same refusal: the zip's pickle and the first pickle of the old format. */
    private void assertRefusedEverywhere(PickleBytes pickle, String... words) throws IOException {
        TestFiles.assertRefused(zip(pickle), words);
        TestFiles.assertRefused(Files.write(folder.resolve("y.pth"), pickle.stop()), words);
    }

    private static PickleBytes pickle() {
        return new PickleBytes();
    }

    @Test
    void theSameBuilderMakesAFileThatIsRead() throws IOException {
        PickleBytes good = pickle().op(EMPTY_DICT).text("w").tensor(4, 0, new long[] {2, 2}, new long[] {2, 1}).op(SETITEM);
        try (WeightFile file = WeightFile.open(zip(good))) {
            assertArrayEquals(new long[] {2, 2}, file.tensor("w").dims());
            assertArrayEquals(new float[4], file.read("w"));
        }
    }

    @Test
    void foreignGlobalsAreRefusedByName() throws IOException {
        for (String name : new String[] {"os.system", "posix.system", "nt.system", "subprocess.Popen", "builtins.eval", "builtins.exec",
                "__builtin__.eval", "builtins.getattr", "builtins.__import__", "importlib.import_module", "torch.load",
                "torch.storage._load_from_bytes", "torch.jit.load", "pickle.loads", "numpy.core.multiarray._reconstruct",
                "collections.OrderedDict.fromkeys", "argparse.Namespace", "runpy._run_code"}) {
            int dot = name.lastIndexOf('.');
            String module = name.substring(0, dot);
            String function = name.substring(dot + 1);
            assertRefusedEverywhere(pickle().global(module, function).text("id").op(TUPLE1, REDUCE), "refused the global " + name);
            assertRefusedEverywhere(pickle().op(PROTO, 4).text(module).text(function).op(STACK_GLOBAL).text("id").op(TUPLE1, REDUCE),
                    "refused the global " + name);
        }
        assertRefusedEverywhere(pickle().text("collections").text("OrderedDict.fromkeys").op(STACK_GLOBAL), "OrderedDict.fromkeys");
    }

    @Test
    void foreignInstructionsAreRefusedByName() throws IOException {
        assertRefusedEverywhere(pickle().op(MARK).text("id").raw("ios\nsystem\n".getBytes()), "INST of os.system");
        assertRefusedEverywhere(pickle().op(MARK).global("collections", "OrderedDict").op('o'), "OBJ");
        assertRefusedEverywhere(pickle().global("collections", "OrderedDict").op(EMPTY_TUPLE, 0x81), "NEWOBJ");
        assertRefusedEverywhere(pickle().global("collections", "OrderedDict").op(EMPTY_TUPLE, EMPTY_DICT, 0x92), "NEWOBJ_EX");
        assertRefusedEverywhere(pickle().op(0x82, 1), "EXT1");
        assertRefusedEverywhere(pickle().op(0x83, 1, 0), "EXT2");
        assertRefusedEverywhere(pickle().op(0x84, 1, 0, 0, 0), "EXT4");
        assertRefusedEverywhere(pickle().raw("Pstorage\n".getBytes()), "PERSID");
        assertRefusedEverywhere(pickle().raw("S'os'\n".getBytes()), "STRING");
        assertRefusedEverywhere(pickle().op(0x97), "NEXT_BUFFER");
        assertRefusedEverywhere(pickle().op(0xff), "0xff is no pickle instruction");
    }

    @Test
    void buildGivesAttributesToStateDictsOnly() throws IOException {
        assertRefusedEverywhere(pickle().op(EMPTY_LIST, EMPTY_DICT, BUILD), "BUILD", "list");
        assertRefusedEverywhere(pickle().op(EMPTY_DICT, EMPTY_DICT, BUILD), "BUILD", "dictionary");
        assertRefusedEverywhere(pickle().global("torch", "FloatStorage").op(EMPTY_DICT, BUILD), "BUILD", "torch.FloatStorage");
        assertRefusedEverywhere(pickle().global("collections", "OrderedDict").op(EMPTY_TUPLE, REDUCE, NONE, BUILD), "BUILD");
    }

    @Test
    void onlyWhatRebuildsTensorsIsCalled() throws IOException {
        assertRefusedEverywhere(pickle().global("torch", "FloatStorage").number(4).op(TUPLE1, REDUCE), "call of torch.FloatStorage");
        assertRefusedEverywhere(pickle().text("os.system").text("id").op(TUPLE1, REDUCE), "REDUCE calls what is no global");
        assertRefusedEverywhere(pickle().global("torch", "Size").op(EMPTY_LIST, REDUCE), "tuple of arguments");
        assertRefusedEverywhere(pickle().global("torch._tensor", "_rebuild_from_type_v2").op(MARK).global("torch", "device")
                .global("torch", "Tensor").op(EMPTY_TUPLE, NONE, TUPLE, REDUCE), "call of torch.device");
        assertRefusedEverywhere(pickle().global("torch._utils", "_rebuild_tensor_v2").op(EMPTY_TUPLE, REDUCE), "argument 0", "missing");
    }

    @Test
    void foreignPersistentIdentifiersAreRefused() throws IOException {
        assertRefusedEverywhere(pickle().text("os.system").op(BINPERSID), "persistent identifier", "os.system");
        assertRefusedEverywhere(pickle().op(MARK).text("module").text("os").op(TUPLE, BINPERSID), "whole pickled module");
        assertRefusedEverywhere(pickle().op(MARK).text("file").text("/etc/passwd").op(TUPLE, BINPERSID), "persistent identifier", "\"file\"");
        assertRefusedEverywhere(pickle().op(MARK).text("storage").text("FloatStorage").text("0").text("cpu").number(4).op(TUPLE, BINPERSID),
                "not described by class");
        assertRefusedEverywhere(pickle().storage("FloatStorage", "0", -4), "not described by class");
    }

    @Test
    void recordsAreLookedUpByTheirWholeName() throws IOException {
        PickleBytes outside = pickle().op(EMPTY_DICT).text("w").global("torch._utils", "_rebuild_tensor_v2").op(MARK)
                .storage("FloatStorage", "../../etc/passwd", 1).number(0).numbers(1).numbers(1).op(NEWFALSE, NONE, TUPLE, REDUCE, SETITEM);
        TestFiles.assertRefused(zip(outside), "no record", "passwd", "\"w\"");
    }

    @Test
    void tensorsStayWithinTheirStorage() throws IOException {
        assertTensorRefused(4, 0, new long[] {5}, new long[] {1}, "reaches element 4 of a storage of 4");
        assertTensorRefused(4, 1, new long[] {2, 2}, new long[] {2, 1}, "reaches element 4");
        assertTensorRefused(4, -1, new long[] {1}, new long[] {1}, "reaches element");
        assertTensorRefused(4, 0, new long[] {-1}, new long[] {1}, "negative");
        assertTensorRefused(4, 0, new long[] {2}, new long[] {-1}, "negative");
        assertTensorRefused(4, 0, new long[] {2, 2}, new long[] {1}, "as many strides");
        assertTensorRefused(4, 0, new long[] {1L << 40, 1L << 40}, new long[] {0, 0}, "overflows");
        assertTensorRefused(4, 0, new long[] {1L << 62, 2}, new long[] {4, 1}, "overflows");
        assertTensorRefused(4, Long.MAX_VALUE, new long[] {2}, new long[] {1}, "overflows");
        assertTensorRefused(4, 0, new long[] {1L << 40}, new long[] {0}, "more elements than its storage");
        assertTensorRefused(4, 0, new long[65], new long[65], "65 axes");
        assertTensorRefused(1L << 60, 0, new long[] {2}, new long[] {1}, "record", "16 bytes");
        assertTensorRefused(Long.MAX_VALUE, 0, new long[] {2}, new long[] {1}, "overflows");
        assertTensorRefused(5, 0, new long[] {2}, new long[] {1}, "record", "16 bytes");
    }

    private void assertTensorRefused(long storage, long offset, long[] dims, long[] strides, String... words) throws IOException {
        TestFiles.assertRefused(zip(pickle().op(EMPTY_DICT).text("w").tensor(storage, offset, dims, strides).op(SETITEM)), words);
    }

    @Test
    void aStorageHasOneDescription() throws IOException {
        TestFiles.assertRefused(zip(pickle().storage("FloatStorage", "0", 4).storage("HalfStorage", "0", 4)), "described once as 4 F32");
    }

    @Test
    void selfReferenceAndSharedNestingEnd() throws IOException {
        assertZipRefused(pickle().op(EMPTY_DICT, 'q', 0).text("state_dict").op('h', 0, SETITEM), "no state dict");
        PickleBytes laughs = pickle().op(NONE);
        for (int i = 0; i < 200; i++) {
            laughs.op(DUP, TUPLE2);
        }
        assertZipRefused(laughs, "tuple of 2");
        PickleBytes deep = pickle();
        for (int i = 0; i < 200_000; i++) {
            deep.op(EMPTY_LIST);
        }
        for (int i = 1; i < 200_000; i++) {
            deep.op(APPEND);
        }
        assertZipRefused(deep, "list of 1");
        assertZipRefused(pickle().op(EMPTY_DICT, EMPTY_LIST, NONE, SETITEM), "dictionary's key");
    }

    private void assertZipRefused(PickleBytes pickle, String... words) throws IOException {
        TestFiles.assertRefused(zip(pickle), words);
    }

    @Test
    void lengthsAndCountsAreBounded() throws IOException {
        byte[] huge = {-1, -1, -1, -1, -1, -1, -1, 0x3f};
        assertRefusedEverywhere(pickle().op(0x8d).raw(huge), "a text or number of");
        assertRefusedEverywhere(pickle().op(0x8e).raw(huge), "a text or number of");
        assertRefusedEverywhere(pickle().op('X', 255, 255, 255, 0), "truncated");
        assertRefusedEverywhere(pickle().op('X', 255, 255, 255, 255), "a text or number of");
        assertRefusedEverywhere(pickle().op('T', 255, 255, 255, 255), "a text or number of");
        assertRefusedEverywhere(pickle().op(0x8b, 255, 255, 255, 127), "an integer of");
        assertRefusedEverywhere(pickle().op('c').raw(new byte[5000]), "a name of more than");
        assertRefusedEverywhere(pickle().op('h', 9), "never remembered");
        assertRefusedEverywhere(pickle().op('q', 9), "empty stack");
        assertRefusedEverywhere(pickle().op(TUPLE), "a mark");
        assertRefusedEverywhere(pickle().op(NONE, NONE, MARK, SETITEM), "empty stack");
        assertRefusedEverywhere(pickle().op(PROTO, 9), "protocol 9");
        assertRefusedEverywhere(pickle().raw(filled(EMPTY_DICT, 2_000_000)), "more than 1000000 lists");
        assertRefusedEverywhere(pickle().raw(filled(NONE, 5_000_000)), "more than 4000000 objects");
        assertRefusedEverywhere(pickle().raw(filled(MARK, 5_000_000)), "more than 4000000 objects");
        assertRefusedEverywhere(pickle().op(NONE).raw(filled(MEMOIZE, 3_000_000)), "more than 2000000 remembered");
    }

    @Test
    void aPickleIsNoLongerThanItsLimit() throws IOException {
        byte[] protocols = new byte[70 << 20];
        for (int i = 0; i < protocols.length; i += 2) {
            protocols[i] = (byte) PROTO;
            protocols[i + 1] = 2;
        }
        TestFiles.assertRefused(Files.write(folder.resolve("long.pth"), protocols), "longer than");
    }

    @Test
    void copiesOfAListDoNotOutgrowMemory() throws IOException {
        PickleBytes bomb = pickle().op(EMPTY_LIST, 'q', 0, MARK);
        for (int i = 0; i < 100_000; i++) {
            bomb.op(NONE, NONE, TUPLE2);
        }
        bomb.op('e');
        for (int i = 0; i < 1000; i++) {
            bomb.global("collections", "OrderedDict").op('h', 0, TUPLE1, REDUCE).global("builtins", "set").op('h', 0, TUPLE1, REDUCE);
        }
        assertZipRefused(bomb, "more than 1000000 entries");
    }

    private static byte[] filled(int code, int count) {
        byte[] bytes = new byte[count];
        Arrays.fill(bytes, (byte) code);
        return bytes;
    }

    @Test
    void aNameWithControlCharactersDoesNotReachTheTerminal() throws IOException {
        TestFiles.assertRefused(zip(pickle().text("os\u001b[2J\n").text("x").op(STACK_GLOBAL)), "os?[2J?.x");
        assertEquals("\"a\u0000\"".replace('\u0000', '?'), Messages.quoted("a\u0000"));
    }
}
