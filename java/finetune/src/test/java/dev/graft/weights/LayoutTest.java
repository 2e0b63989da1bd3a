package dev.graft.weights;

import org.junit.jupiter.api.Test;

import java.nio.file.Path;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class LayoutTest {
    private static final Path FILE = Path.of("model.safetensors");

    private static float[] numbered(int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = i;
        }
        return values;
    }

    @Test
    void kernelElementsMoveByTheirIndices() {
        int o = 2, c = 3, h = 4, w = 5;
        float[] oihw = numbered(o * c * h * w);
        float[] ohwi = Layout.toEngine(oihw, o, c, h, w);
        for (int i = 0; i < oihw.length; i++) {
            int x = i % w, y = i / w % h, in = i / (w * h) % c, out = i / (w * h * c);
            assertEquals(oihw[i], ohwi[((out * h + y) * w + x) * c + in]);
        }
    }

    @Test
    void theWayBackUndoesTheWayThere() {
        float[] oihw = numbered(2 * 3 * 4 * 5);
        assertArrayEquals(oihw, Layout.fromEngine(Layout.toEngine(oihw, 2, 3, 4, 5), 2, 4, 5, 3));
        assertArrayEquals(new long[] {2, 4, 5, 3}, Layout.permute(new long[] {2, 3, 4, 5}, Layout.oihwToOhwi()));
        assertArrayEquals(new long[] {2, 3, 4, 5}, Layout.permute(new long[] {2, 4, 5, 3}, Layout.ohwiToOihw()));
    }

    @Test
    void anAxisOrderMustNameEachAxisOnce() {
        assertThrows(IllegalArgumentException.class, () -> Layout.permute(new long[] {2, 3}, 0, 0));
        assertThrows(IllegalArgumentException.class, () -> Layout.permute(new long[] {2, 3}, 0, 1, 2));
        assertThrows(IllegalArgumentException.class, () -> Layout.permute(new float[5], new long[] {2, 3}, 1, 0));
    }

    @Test
    void onlyKernelsWhoseBytesStayAreContiguousAfterPermuting() {
        assertTrue(kernel(8, 16, 1, 1).contiguous(), "pointwise");
        assertTrue(kernel(8, 1, 3, 3).contiguous(), "depthwise");
        assertFalse(kernel(8, 16, 3, 3).contiguous(), "dense 3x3");
    }

    @Test
    void fileOrderSaysWhichFileAxisIsWhich() {
        StoredTensor.FileOrder order = kernel(8, 16, 3, 5).fileOrder();
        assertArrayEquals(new long[] {8, 16, 3, 5}, order.dims());
        assertArrayEquals(new int[] {0, 2, 3, 1}, order.order());
        StoredTensor channelsLast = new StoredTensor("w", Dtype.F32, new long[] {8, 16, 3, 5}, FILE, 0, 8 * 16 * 3 * 5 * 4L,
                new long[] {16 * 3 * 5, 1, 5 * 16, 16});
        assertArrayEquals(new long[] {8, 3, 5, 16}, channelsLast.fileOrder().dims());
        assertArrayEquals(new int[] {0, 3, 1, 2}, channelsLast.fileOrder().order());
        assertTrue(channelsLast.permuted(Layout.oihwToOhwi()).contiguous());
        StoredTensor everySecond = new StoredTensor("v", Dtype.F32, new long[] {3, 4}, FILE, 0, 80, new long[] {8, 1});
        assertNull(everySecond.fileOrder());
    }

    private static StoredTensor kernel(long... oihw) {
        return StoredTensor.contiguous("w", Dtype.F32, oihw, FILE, 0).permuted(Layout.oihwToOhwi());
    }
}
