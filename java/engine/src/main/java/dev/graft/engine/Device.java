package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_device;
import java.util.Objects;
import org.bytedeco.javacpp.Pointer;

/**
 * A machine that plans run on: a column of kernels with lanes, each a team of threads that runs one plan at a time. Calls
 * from more threads than lanes wait for their turn.
 *
 * <p>It owns the {@link Parameters} and {@link Workspace}s made from it; closing it closes them. Safe for any number of
 * threads.
 */
public final class Device implements AutoCloseable {
    final graft_device pointer;
    final Handle handle;
    private final String column;
    private final int threads;
    private final int lanes;
    private final Kernels kernels = new Kernels(this);
    private final DirectCalls streamCalls = new DirectCalls(this, false);

    private Device(graft_device pointer, String column, int threads, int lanes) {
        this.pointer = pointer;
        this.column = column;
        this.threads = threads;
        this.lanes = lanes;
        this.handle = new Handle("device " + column, null, () -> Graft.graft_device_close(pointer));
    }

    /** Opens a column with one lane of as many threads as the container's quota allows. */
    public static Device open(String column) {
        return open(column, defaultThreads(), 1);
    }

    /**
     * Opens a column.
     *
     * @param column {@code "cpu"}; {@code "cuda"} or {@code "cuda:N"}: the GPU that CUDA counts as N, 0 without a number; or
     *     {@code "reference"}: plain loops, slow, the specification of all operations
     * @param threads of each lane, at least 1
     * @param lanes teams of threads, at least 1
     * @throws IllegalArgumentException for a number below 1, and where a property of {@link ProductChoice} has a wrong word
     * @throws UnavailableException where there is no such column, no native library for this platform, or for a GPU no CUDA column in
     *     this build, no driver that is new enough, or no such GPU of compute capability 8.0 or newer
     * @throws OutOfDeviceMemoryException where the GPU has too little free memory to be opened
     */
    public static Device open(String column, int threads, int lanes) {
        Objects.requireNonNull(column, "column");
        if (threads < 1 || lanes < 1) {
            throw new IllegalArgumentException(
                    "threads and lanes must be at least 1, got " + threads + " threads and " + lanes + " lanes");
        }
        ProductChoice products = ProductChoice.ofProperties();
        load(column);
        if (column.startsWith("cuda")) {
            Status.check(Graft.graft_device_check(column));
            PresetLibraries.load();
        }
        graft_device pointer = new graft_device(null);
        Status.check(Graft.graft_device_open(column, threads, lanes, pointer));
        Device device = new Device(pointer, column, threads, lanes);
        try {
            products.each((key, word) -> Status.check(Graft.graft_device_choose(pointer, key, word)));
            return device;
        } catch (RuntimeException e) {
            device.close();
            throw e;
        }
    }

    /**
     * Whether a column could be opened, as far as that is known without taking memory for it; returns if so.
     *
     * @param column as for {@link #open(String, int, int)}
     * @throws UnavailableException as that would throw it, with the reason in one line
     */
    public static void check(String column) {
        Objects.requireNonNull(column, "column");
        load(column);
        Status.check(Graft.graft_device_check(column));
    }

    /**
     * JSON of what there is for the CUDA column: {@code reason}, one line that says why nothing can be used and else empty;
     * {@code runtime} and {@code driver}, versions of CUDA, and {@code gpus}, a list of {@code name}, {@code capability},
     * {@code memory_mb} and a {@code reason} of its own; where the build has the column also {@code uses}, what computes
     * {@code products}, {@code convolutions} and all {@code other} operations, {@code libraries} of NVIDIA, each with {@code name},
     * {@code version} and {@code path}, or a {@code reason} why it is not used, and {@code presets}, one line on what the CUDA
     * presets for JavaCPP loaded. Takes no memory on a GPU.
     *
     * @throws UnavailableException where the native libraries do not load
     */
    public static String describeCuda() {
        boolean built = Natives.loadCuda();
        String presets = built ? PresetLibraries.load() : ""; // before the column looks for the libraries
        String json = Text.read(Graft::graft_cuda_describe);
        return built ? json.substring(0, json.length() - 1) + ",\"presets\":" + Text.quoted(presets) + "}" : json;
    }

    private static void load(String column) {
        if (column.startsWith("cuda")) {
            Natives.loadCuda();
        } else {
            Natives.load();
        }
    }

    /** Processors that this process may use at once: the container's quota or all that the JVM sees. */
    public static int defaultThreads() {
        return Quota.threads();
    }

    /** Name of the column. */
    public String column() {
        return column;
    }

    /** Threads of each lane. */
    public int threads() {
        return threads;
    }

    /** Plans that run at the same time. */
    public int lanes() {
        return lanes;
    }

    /** A new, empty store of parameters. */
    public Parameters parameters() {
        return new Parameters(this);
    }

    /**
     * Kernels on the caller's memory of the host, without a plan; the same object every time.
     *
     * @throws UnavailableException where this is a GPU: see {@link #kernels(long)}
     */
    public Kernels kernels() {
        if (isGpu()) {
            throw new UnavailableException("device " + column + " has no kernels on memory of the host; kernels(stream) has those of the GPU");
        }
        return kernels;
    }

    /**
     * Kernels on the caller's memory of this GPU and on a stream of the caller's, without a plan.
     *
     * @param stream a cudaStream_t of this GPU, which lives until the last call; 0 is the default stream
     * @throws UnavailableException where this is no GPU: see {@link #kernels()}
     */
    public StreamKernels kernels(long stream) {
        requireGpu();
        return new StreamKernels(streamCalls, stream, null);
    }

    /**
     * Kernels on the caller's memory of this GPU and on a stream of the caller's, without a plan.
     *
     * @param stream as for {@link #kernels(long)}, such as a {@code CUstream_st} of the CUDA presets; kept reachable. A null
     *     address is the default stream
     * @throws UnavailableException where this is no GPU: see {@link #kernels()}
     */
    public StreamKernels kernels(Pointer stream) {
        requireGpu();
        return new StreamKernels(streamCalls, 0, Objects.requireNonNull(stream, "stream"));
    }

    private boolean isGpu() {
        return column.startsWith("cuda");
    }

    private void requireGpu() {
        if (!isGpu()) {
            throw new UnavailableException("device " + column + " has no streams; kernels() are on memory of the host");
        }
    }

    /** A new workspace for plans that never run at the same time. */
    public Workspace workspace() {
        return new Workspace(this);
    }

    /** JSON: column, threads, lanes, instruction set, bf16 support, versions of libraries, bytes held. */
    public String describe() {
        handle.enter();
        try {
            return Text.read((text, capacity, needed) -> Graft.graft_device_describe(pointer, text, capacity, needed));
        } finally {
            handle.exit();
        }
    }

    /** Closes everything made from this device, then the device. */
    @Override
    public void close() {
        handle.close();
    }

    @Override
    public String toString() {
        return "Device[" + column + ", " + threads + " threads, " + lanes + " lanes]";
    }
}
