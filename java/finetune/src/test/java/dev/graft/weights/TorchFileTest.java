package dev.graft.weights;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

class TorchFileTest {
    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"types_zip", "types_old", "types_protocol5", "checkpoint_zip", "checkpoint_old", "parameters_zip", "parameters_old"})
    void readsWhatTorchWrites(String name) {
        try (WeightFile file = WeightFile.open(TestFiles.golden(name + ".pth"));
             WeightFile expected = WeightFile.open(TestFiles.golden(name + ".expected.safetensors"))) {
            TestFiles.assertSameTensors(expected, file);
            assertEquals(name.endsWith("old") ? "PyTorch (old format)" : "PyTorch (zip)", file.format());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"types_zip", "types_old"})
    void viewsAreLocatedInTheStorageTheyShare(String name) {
        try (WeightFile file = WeightFile.open(TestFiles.golden(name + ".pth"))) {
            StoredTensor whole = file.tensor("whole");
            assertTrue(whole.contiguous());
            assertEquals(whole.offset(), file.tensor("tied").offset());
            assertEquals(whole.offset() + 16 * 4, file.tensor("tail").offset());
            assertTrue(file.tensor("tail").contiguous());
            assertArrayEquals(new long[] {1, 4}, file.tensor("transposed").strides());
            assertFalse(file.tensor("transposed").contiguous());
            assertArrayEquals(new int[] {1, 0}, file.tensor("transposed").fileOrder().order());
            assertEquals(whole.offset() + 2 * 4, file.tensor("column").offset());
            assertEquals(21 * 4, file.tensor("column").length());
            assertTrue(file.tensor("channels_last").permuted(Layout.oihwToOhwi()).contiguous());
            assertEquals(Dtype.BF16, file.tensor("bf16").dtype());
            assertEquals(Dtype.I64, file.tensor("i64").dtype());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"checkpoint_zip", "checkpoint_old"})
    void aTrainingCheckpointIsOpenedAtItsStateDict(String name) {
        try (WeightFile file = WeightFile.open(TestFiles.golden(name + ".pth"))) {
            assertEquals("state_dict", file.stateKey());
            assertEquals("module.", file.strippedPrefix());
            assertEquals(List.of("epoch = 3", "arch = \"tiny\"", "optimizer (dictionary of 2)", "best_acc (NumPy scalar)",
                    "device (device cpu)", "dtype (torch.bfloat16)", "size (tuple of 2)", "history (list of 2)", "seen (list of 2)",
                    "big = 1180591620717411303424", "nothing (None)"), file.others());
            assertTrue(file.contains("1.num_batches_tracked"));
            assertArrayEquals(new float[] {1}, file.read("1.num_batches_tracked"));
        }
    }

    @Test
    void whatIsNoStateDictIsRefusedByName() {
        TestFiles.assertRefused(TestFiles.golden("refused_complex.pth"), "torch.ComplexFloatStorage");
        TestFiles.assertRefused(TestFiles.golden("refused_uint16.pth"), "torch.uint16");
        TestFiles.assertRefused(TestFiles.golden("refused_module.pth"), "torch.nn.modules.linear.Linear", "state_dict()");
        TestFiles.assertRefused(TestFiles.golden("refused_torchscript.pth"), "TorchScript", "state_dict()");
    }

    @ParameterizedTest
    @ValueSource(strings = {"types_zip", "types_old"})
    void everyTruncationIsRefused(String name) throws IOException {
        byte[] whole = TestFiles.goldenBytes(name + ".pth");
        Path file = folder.resolve("cut.pth");
        for (int length = 0; length < whole.length; length += 19) {
            Files.write(file, Arrays.copyOf(whole, length));
            TestFiles.assertRefused(file);
        }
    }

    @Test
    void otherFormatsAreNamed() throws IOException {
        byte[] tar = new byte[1024];
        System.arraycopy("ustar".getBytes(), 0, tar, 257, 5);
        TestFiles.assertRefused(Files.write(folder.resolve("a.pth"), tar), "tar archive");
        TestFiles.assertRefused(Files.writeString(folder.resolve("b.pth"), "<!DOCTYPE html>"), "web page");
        TestFiles.assertRefused(Files.writeString(folder.resolve("c.pth"), "version https://git-lfs.github.com/spec/v1"), "Git LFS pointer");
        TestFiles.assertRefused(Files.writeString(folder.resolve("d.pth"), "GGUF...."), "GGUF");
        TestFiles.assertRefused(Files.write(folder.resolve("e.h5"), new byte[] {(byte) 0x89, 'H', 'D', 'F'}), "HDF5");
        TestFiles.assertRefused(Files.writeString(folder.resolve("f.pth"), ""), "empty");
        TestFiles.assertRefused(folder.resolve("absent.pth"), "no such file");
        TestFiles.assertRefused(folder, "no safetensors files");
    }
}
