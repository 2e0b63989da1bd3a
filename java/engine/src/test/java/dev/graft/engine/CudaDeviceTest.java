package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import org.bytedeco.javacpp.Loader;
import org.junit.jupiter.api.Test;

/** What Java code sees where there is no GPU, or not the one it asks for. The reasons themselves are the native cuda_library_test's. */
class CudaDeviceTest {
    private static final int NONE = 9999;

    private static boolean built() {
        return CudaDeviceTest.class.getResource("/dev/graft/engine/binding/" + Loader.getPlatform() + "/libgraft_cuda.so") != null;
    }

    @Test
    void anAbsentGpuIsUnavailableWithOneReason() {
        UnavailableException opened = assertThrows(UnavailableException.class, () -> Device.open("cuda:" + NONE));
        UnavailableException checked = assertThrows(UnavailableException.class, () -> Device.check("cuda:" + NONE));
        assertEquals(opened.getMessage(), checked.getMessage());
        assertTrue(opened.getMessage().startsWith("device cuda:" + NONE + ": "), opened.getMessage());
        assertEquals(1, opened.getMessage().lines().count(), opened.getMessage());
    }

    @Test
    void theLibraryIsFoundWhereTheBuildMadeOne() {
        String message = assertThrows(UnavailableException.class, () -> Device.check("cuda:" + NONE)).getMessage();
        assertEquals(!built(), message.endsWith("this build has no CUDA column: it was made without nvcc"), message);
        for (String part : new String[] {"beside", "does not load", "another build", "no function"}) {
            assertFalse(message.contains(part), message);
        }
    }

    @Test
    void whatThereIsCanBeAskedWithoutAGpu() {
        String json = Device.describeCuda();
        assertTrue(json.startsWith("{") && json.contains("\"reason\":\"") && json.contains("\"gpus\":["), json);
        assertEquals(built(), json.contains("\"runtime\":\""), json);
    }

    @Test
    void aMachineWithoutGpuSaysTheSameOfTheFirstOne() {
        assumeTrue(Device.describeCuda().contains("\"gpus\":[]"), "this machine has a GPU");
        String message = assertThrows(UnavailableException.class, () -> Device.open("cuda")).getMessage();
        assertTrue(Device.describeCuda().contains("\"reason\":\"" + message.substring("device cuda: ".length()) + "\""), message);
    }

    @Test
    void otherColumnsPassTheCheckAndUnknownOnesDoNot() {
        Device.check("cpu");
        Device.check("reference");
        assertThrows(UnavailableException.class, () -> Device.check("cuda:x"));
        assertThrows(NullPointerException.class, () -> Device.check(null));
    }
}
