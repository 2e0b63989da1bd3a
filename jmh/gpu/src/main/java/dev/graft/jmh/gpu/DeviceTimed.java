package dev.graft.jmh.gpu;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * A call on GPU 0. JMH's own figure is the time until the device has done it; what the device itself spends on it, by its events,
 * is printed after every iteration and appended to the file that the system property {@code graft.gpu.csv} names: kernel, L2,
 * median and least microseconds, calls, clocks before and after in MHz (multiprocessors, memory), versions of driver and
 * runtime.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 2)
@Fork(1)
public abstract class DeviceTimed {
    /** warm: as the call before left it; cold: full of other bytes. */
    @Param({"warm", "cold"})
    public String l2;

    private Gpu gpu;
    private Runnable call;
    private double[] microseconds = new double[1024];
    private int calls;
    private String clocks;

    /** What is called, as its line names it: a word, sizes with x between them, perhaps more words. */
    abstract String kernel();

    /** The call, with operands of its own. */
    abstract Runnable prepare(Gpu on, int[] sizes);

    @Setup(Level.Trial)
    public void open() {
        gpu = new Gpu();
        int[] sizes = Arrays.stream(kernel().split(" ")).filter(w -> w.matches("\\d+(x\\d+)*")).flatMap(w -> Arrays.stream(w.split("x")))
                .mapToInt(Integer::parseInt).toArray();
        call = prepare(gpu, sizes);
    }

    @Setup(Level.Iteration)
    public void begin() {
        calls = 0;
        clocks = Gpu.clocks();
    }

    @Benchmark
    public void call() {
        if (calls == microseconds.length) {
            microseconds = Arrays.copyOf(microseconds, 2 * calls);
        }
        microseconds[calls++] = gpu.microseconds(call, l2.equals("cold"));
    }

    @TearDown(Level.Iteration)
    public void tell() throws IOException {
        double[] sorted = Arrays.copyOf(microseconds, calls);
        Arrays.sort(sorted);
        String line = String.format(Locale.ROOT, "%s,%s,%.2f,%.2f,%d,%s,%s,%s%n", kernel(), l2, sorted[calls / 2], sorted[0], calls, clocks,
                Gpu.clocks(), Gpu.versions());
        System.out.print("device: " + line);
        String file = System.getProperty("graft.gpu.csv");
        if (file != null) {
            Files.writeString(Path.of(file), line, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        }
    }

    @TearDown(Level.Trial)
    public void close() {
        gpu.close();
    }
}
