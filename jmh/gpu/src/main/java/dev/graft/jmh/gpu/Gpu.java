package dev.graft.jmh.gpu;

import static org.bytedeco.cuda.global.cudart.cudaDevAttrL2CacheSize;
import static org.bytedeco.cuda.global.cudart.cudaDeviceGetAttribute;
import static org.bytedeco.cuda.global.cudart.cudaDriverGetVersion;
import static org.bytedeco.cuda.global.cudart.cudaEventCreate;
import static org.bytedeco.cuda.global.cudart.cudaEventElapsedTime;
import static org.bytedeco.cuda.global.cudart.cudaEventRecord;
import static org.bytedeco.cuda.global.cudart.cudaEventSynchronize;
import static org.bytedeco.cuda.global.cudart.cudaFree;
import static org.bytedeco.cuda.global.cudart.cudaGetErrorString;
import static org.bytedeco.cuda.global.cudart.cudaMalloc;
import static org.bytedeco.cuda.global.cudart.cudaMemcpy;
import static org.bytedeco.cuda.global.cudart.cudaMemcpyHostToDevice;
import static org.bytedeco.cuda.global.cudart.cudaMemsetAsync;
import static org.bytedeco.cuda.global.cudart.cudaRuntimeGetVersion;
import static org.bytedeco.cuda.global.cudart.cudaStreamCreate;
import static org.bytedeco.cuda.global.cudart.cudaStreamSynchronize;
import static org.bytedeco.cuda.global.nvml.NVML_CLOCK_MEM;
import static org.bytedeco.cuda.global.nvml.NVML_CLOCK_SM;
import static org.bytedeco.cuda.global.nvml.nvmlDeviceGetClockInfo;
import static org.bytedeco.cuda.global.nvml.nvmlDeviceGetHandleByIndex_v2;
import static org.bytedeco.cuda.global.nvml.nvmlInit_v2;

import dev.graft.engine.DType;
import dev.graft.engine.Device;
import dev.graft.engine.Memory;
import dev.graft.engine.Philox;
import dev.graft.engine.StreamKernels;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.nvml.nvmlDevice_st;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.ShortPointer;

/** GPU 0 with a stream, memory and events of the benchmark's own. One thread. */
final class Gpu implements AutoCloseable {
    private static final long SEED = 1;

    final Device device;
    final StreamKernels kernels;
    private final CUstream_st stream = new CUstream_st();
    private final CUevent_st before = new CUevent_st();
    private final CUevent_st after = new CUevent_st();
    private final List<Pointer> held = new ArrayList<>();
    private final Map<Memory, Pointer> pointers = new IdentityHashMap<>();
    private final Pointer flushed;
    private final long flushedBytes;

    Gpu() {
        device = Device.open("cuda");
        check(cudaStreamCreate(stream));
        check(cudaEventCreate(before));
        check(cudaEventCreate(after));
        kernels = device.kernels(stream);
        flushedBytes = 2L * attribute(cudaDevAttrL2CacheSize);
        flushed = allocate(flushedBytes);
    }

    static void check(int status) {
        if (status != 0) {
            throw new IllegalStateException("CUDA: " + cudaGetErrorString(status).getString());
        }
    }

    private static int attribute(int which) {
        int[] value = new int[1];
        check(cudaDeviceGetAttribute(value, which, 0));
        return value[0];
    }

    private Pointer allocate(long bytes) {
        Pointer pointer = new BytePointer();
        check(cudaMalloc(pointer, bytes));
        held.add(pointer);
        return pointer;
    }

    private Memory memory(Pointer pointer, long count, DType dtype) {
        check(cudaStreamSynchronize(stream));
        Memory memory = Memory.at(pointer.address(), count, dtype);
        pointers.put(memory, pointer);
        return memory;
    }

    /** The pointer to memory of this object's, for calls of the presets. */
    Pointer pointer(Memory memory) {
        return pointers.get(memory);
    }

    CUstream_st stream() {
        return stream;
    }

    /** Zeros. */
    Memory zeros(long count, DType dtype) {
        Pointer pointer = allocate(count * dtype.bytes());
        check(cudaMemsetAsync(pointer, 0, count * dtype.bytes(), stream));
        return memory(pointer, count, dtype);
    }

    /** Normal numbers, F32 or BF16; many repeat the first 2^20. */
    Memory normal(String name, long count, DType dtype, double deviation) {
        int piece = (int) Math.min(count, 1 << 20);
        long key = Philox.key(SEED, name);
        Pointer pointer = allocate(count * dtype.bytes());
        try (FloatPointer floats = new FloatPointer(piece); ShortPointer shorts = new ShortPointer(piece)) {
            for (int i = 0; i < piece; i++) {
                float value = (float) (deviation * Philox.normal(key, 0, 0, i));
                floats.put(i, value);
                shorts.put(i, (short) (Float.floatToRawIntBits(value) + 0x8000 >>> 16));
            }
            Pointer from = dtype == DType.F32 ? floats : shorts;
            for (long first = 0; first < count; first += piece) {
                long bytes = Math.min(piece, count - first) * dtype.bytes();
                check(cudaMemcpy(part(pointer, first * dtype.bytes()), from, bytes, cudaMemcpyHostToDevice));
            }
        }
        return memory(pointer, count, dtype);
    }

    /** I32 [rows], 0 to classes - 1. */
    Memory labels(int rows, int classes) {
        Pointer pointer = allocate((long) rows * DType.I32.bytes());
        try (IntPointer labels = new IntPointer(rows)) {
            for (int i = 0; i < rows; i++) {
                labels.put(i, (int) (i * 7919L % classes));
            }
            check(cudaMemcpy(pointer, labels, (long) rows * DType.I32.bytes(), cudaMemcpyHostToDevice));
        }
        return memory(pointer, rows, DType.I32);
    }

    /** A mask of {@code count} elements in which every tenth block of 1024 is live. */
    Memory blockMask(long count) {
        long bytes = (count + 7) / 8;
        Pointer pointer = allocate(bytes);
        check(cudaMemsetAsync(pointer, 0, bytes, stream));
        for (long block = 0; (block + 1) * 128 <= bytes; block += 10) {
            check(cudaMemsetAsync(part(pointer, block * 128), 0xFF, 128, stream));
        }
        return memory(pointer, bytes, DType.U8);
    }

    private static Pointer part(Pointer pointer, long byteOffset) {
        return new BytePointer(pointer).position(byteOffset);
    }

    /** Microseconds that the device spends on what {@code call} enqueues; cold: with a second level cache full of other bytes. */
    double microseconds(Runnable call, boolean cold) {
        if (cold) {
            check(cudaMemsetAsync(flushed, 1, flushedBytes, stream));
        }
        check(cudaEventRecord(before, stream));
        call.run();
        check(cudaEventRecord(after, stream));
        check(cudaEventSynchronize(after));
        float[] milliseconds = new float[1];
        check(cudaEventElapsedTime(milliseconds, before, after));
        return 1000.0 * milliseconds[0];
    }

    /** Driver and runtime, as CUDA numbers its versions. */
    static String versions() {
        int[] driver = new int[1];
        int[] runtime = new int[1];
        check(cudaDriverGetVersion(driver));
        check(cudaRuntimeGetVersion(runtime));
        return driver[0] + "," + runtime[0];
    }

    /** MHz of the multiprocessors and of the memory as they are now; empty where the driver does not tell. */
    static String clocks() {
        nvmlDevice_st handle = new nvmlDevice_st();
        int[] processors = new int[1];
        int[] memory = new int[1];
        boolean told = nvmlInit_v2() == 0 && nvmlDeviceGetHandleByIndex_v2(0, handle) == 0
                && nvmlDeviceGetClockInfo(handle, NVML_CLOCK_SM, processors) == 0
                && nvmlDeviceGetClockInfo(handle, NVML_CLOCK_MEM, memory) == 0;
        return told ? processors[0] + "," + memory[0] : ",";
    }

    @Override
    public void close() {
        check(cudaStreamSynchronize(stream));
        held.forEach(pointer -> check(cudaFree(pointer)));
        device.close();
    }
}
