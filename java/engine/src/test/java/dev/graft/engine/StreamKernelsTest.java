package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.binding.global.Graft;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;

/** What of a GPU's kernels Java decides without one. What the calls do is the native emulated_doors_test's. */
class StreamKernelsTest {
    @Test
    void theProcessorHasNoStreams() {
        try (Device device = Device.open("cpu", 1, 1)) {
            String message = assertThrows(UnavailableException.class, () -> device.kernels(0)).getMessage();
            assertEquals("device cpu has no streams; kernels() are on memory of the host", message);
            assertThrows(UnavailableException.class, () -> device.kernels(new Pointer()));
            float[] x = new float[4];
            Memory memory = Memory.of(x);
            Matmul product = Matmul.of(2, 2, 1);
            String refused = assertThrows(IllegalArgumentException.class, () -> new StreamKernels(new DirectCalls(device, true), 8, null)
                    .matmul(product, memory, Memory.of(new float[4]), Memory.of(new float[4]))).getMessage();
            assertEquals("stream is 8, but device cpu has no streams; expected 0", refused);
        }
    }

    @Test
    void whatLiesOnTheJavaHeapOrInABufferIsRefusedByName() {
        Operands gpu = new Operands(false);
        String array = assertThrows(IllegalArgumentException.class, () -> gpu.reads("logits", Memory.of(new float[3]), DType.F32)).getMessage();
        assertEquals("logits is Memory[3 F32 of float[]]; expected memory of the GPU, by a pointer or an address", array);
        String buffer = assertThrows(IllegalArgumentException.class, () -> gpu.writes("y", Memory.of(Direct.floats(3)), DType.F32)).getMessage();
        assertTrue(buffer.startsWith("y is Memory[3 F32 of ") && buffer.endsWith("by a pointer or an address"), buffer);
        try (FloatPointer pointer = new FloatPointer(3)) {
            gpu.reads("x", Memory.of(pointer), DType.F32);
            gpu.reads("weight", Memory.at(4096, 7), DType.F32);
            gpu.writes("norm", null, DType.F32);
            assertEquals(pointer.address(), gpu.address(0));
            assertEquals(3, gpu.count(0));
            assertEquals(4096, gpu.address(1));
            assertEquals(0, gpu.address(2));
        }
    }

    @Test
    void theStreamOfAPointerIsItsAddressAndNullTheDefault() {
        try (FloatPointer handle = new FloatPointer(1)) {
            assertEquals(handle.address(), new StreamKernels(null, 0, handle).stream());
        }
        assertEquals(0, new StreamKernels(null, 0, new Pointer()).stream());
        assertEquals(17, new StreamKernels(null, 17, null).stream());
    }

    @Test
    void aNullDeviceIsRefusedBeforeAnyAddress() {
        Device.check("cpu"); // loads the natives
        assertEquals(Graft.GRAFT_INVALID_ARGUMENT, Graft.graft_low_rank_merge(null, 0, Graft.GRAFT_F32, 1, 1, 1, 1, 1, 1, new long[1], 1, 1, 1, 1, 1, 1));
    }
}
