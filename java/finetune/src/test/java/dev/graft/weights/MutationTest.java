package dev.graft.weights;

import com.sun.management.ThreadMXBean;
import dev.graft.engine.Philox;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

/** Files with random damage are read as they are or refused with the one exception type, in bounded time and memory. */
class MutationTest {
    private static final long SEED = 20;
    private static final int CASES = 500;
    /** Far above what any of these files of a few KiB needs (under 2 MiB), far below what a wrong length could ask for. */
    private static final long MOST_BYTES = 64 << 20;
    private static final long MOST_NANOSECONDS = 20_000_000_000L;

    private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"types_zip.pth", "types_old.pth", "types_protocol5.pth", "checkpoint_zip.pth", "checkpoint_old.pth",
            "parameters_old.pth", "types.safetensors"})
    void damageIsRefusedOrHarmless(String name) throws IOException {
        byte[] whole = TestFiles.goldenBytes(name);
        long key = Philox.key(SEED, name);
        int refused = 0;
        for (int number = 0; number < CASES; number++) {
            byte[] damaged = damaged(whole, key, number);
            Path file = Files.write(folder.resolve(name), damaged);
            long bytes = threads.getCurrentThreadAllocatedBytes();
            long start = System.nanoTime();
            try (WeightFile opened = WeightFile.open(file)) {
                for (StoredTensor tensor : opened.tensors()) {
                    opened.read(tensor);
                }
            } catch (WeightsException refusal) {
                refused++;
                assertTrue(refusal.getMessage().startsWith(file + ": "), refusal.getMessage());
                assertFalse(refusal.getMessage().contains("\n"), refusal.getMessage());
            } catch (RuntimeException | Error other) {
                fail(name + ", seed " + SEED + ", case " + number + ": " + other, other);
            }
            String where = name + ", seed " + SEED + ", case " + number;
            assertTrue(threads.getCurrentThreadAllocatedBytes() - bytes < MOST_BYTES, where + ": memory");
            assertTrue(System.nanoTime() - start < MOST_NANOSECONDS, where + ": time");
        }
        assertTrue(refused > CASES / 10, "the damage reaches what is checked: " + refused + " of " + CASES + " refused");
    }

    /** One to four bytes changed, a piece overwritten by another piece, or the end cut off. */
    private static byte[] damaged(byte[] whole, long key, int number) {
        byte[] bytes = whole.clone();
        int kind = draw(key, number, 0, 8);
        if (kind == 0) {
            return Arrays.copyOf(bytes, draw(key, number, 1, bytes.length));
        }
        if (kind == 1) {
            int length = 1 + draw(key, number, 1, 40);
            System.arraycopy(whole, draw(key, number, 2, bytes.length - length), bytes, draw(key, number, 3, bytes.length - length), length);
            return bytes;
        }
        for (int change = 0; change < 1 + kind / 2; change++) {
            bytes[draw(key, number, 4 + 2 * change, bytes.length)] = (byte) draw(key, number, 5 + 2 * change, 256);
        }
        return bytes;
    }

    private static int draw(long key, int number, int element, int bound) {
        return (int) Long.remainderUnsigned(Philox.bits(key, number, 0, element) & 0xffffffffL, bound);
    }
}
