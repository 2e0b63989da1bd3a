package dev.graft.jmh;

import dev.graft.engine.Device;
import dev.graft.engine.LowRankLinear;
import dev.graft.engine.Memory;
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
 * A linear layer of 4096 rows, 768 x 768, with an update of rank 8: forward and backward (gradients of x, a and b); and such an
 * update merged into a weight of 6144 x 6144, which no cache holds. The ceiling of the passes is oneDNN's product of the layer
 * alone, that of merging the weight read and written once.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 5, time = 2)
@Fork(3)
public class LowRankKernelBenchmark {
    private static final int ROWS = 4096;
    private static final int WIDTH = 768;
    private static final int RANK = 8;
    private static final double LAYER = 2.0 * ROWS * WIDTH * WIDTH;
    private static final double UPDATE = 2.0 * ROWS * RANK * 2 * WIDTH;
    private static final int LARGE = 6144;
    private static final long MERGED = 2L * LARGE * LARGE * Float.BYTES;

    @Param("2")
    public int threads;

    /** Adapters whose rows are mixed in the batch, 64 samples of 64 rows; 0 = one update for all rows. */
    @Param({"0", "8"})
    public int adapters;

    private Device device;
    private LowRankLinear layer;
    private LowRankLinear large;
    private Memory x;
    private Memory weight;
    private Memory a;
    private Memory b;
    private Memory y;
    private Memory t;
    private Memory largeWeight;
    private Memory largeA;
    private Memory largeB;
    private LowRankLinear.Gradients gradients;
    private Ceiling product;
    private Ceiling traffic;

    @Setup(Level.Trial)
    public void open() {
        product = Ceiling.product(ROWS, WIDTH, WIDTH, threads);
        traffic = Ceiling.traffic(MERGED, threads);
        device = Device.open("cpu", threads, 1);
        layer = LowRankLinear.of(ROWS, WIDTH, WIDTH, RANK, 2);
        layer = adapters == 0 ? layer : layer.adapters(adapters, adapterOfSample());
        large = LowRankLinear.of(1, LARGE, LARGE, RANK, 2);
        int updates = Math.max(1, adapters);
        x = normal("x", ROWS * WIDTH, 1);
        weight = normal("weight", WIDTH * WIDTH, 0.05);
        a = normal("a", updates * RANK * WIDTH, 0.05);
        b = normal("b", updates * WIDTH * RANK, 0.05);
        y = normal("y", ROWS * WIDTH, 1);
        t = normal("t", ROWS * RANK, 1);
        largeWeight = normal("large weight", LARGE * LARGE, 0.05);
        largeA = normal("large a", RANK * LARGE, 0.05);
        largeB = normal("large b", LARGE * RANK, 0.05);
        gradients = new LowRankLinear.Gradients(normal("dx", ROWS * WIDTH, 0), normal("da", updates * RANK * WIDTH, 0),
                normal("db", updates * WIDTH * RANK, 0));
    }

    private static Memory normal(String name, long count, double deviation) {
        return Memory.of(Filling.normal(name, count, deviation));
    }

    private Memory adapterOfSample() {
        int[] adapter = new int[64];
        for (int i = 0; i < adapter.length; i++) {
            adapter[i] = i * 5 % adapters;
        }
        return Memory.of(adapter);
    }

    @TearDown(Level.Trial)
    public void close() {
        device.close();
    }

    @Benchmark
    public void forward(Ceiling.Rate rate) {
        device.kernels().lowRankForward(layer, x, weight, a, b, y, t);
        rate.products(LAYER + UPDATE, product);
    }

    @Benchmark
    public void backward(Ceiling.Rate rate) {
        device.kernels().lowRankBackward(layer, x, weight, a, b, t, y, gradients);
        rate.products(LAYER + 2 * UPDATE, product);
    }

    /** Merged and taken off in turns, so that the weight stays as it is. */
    @Benchmark
    public void mergeAndUnmerge(Ceiling.Rate rate) {
        device.kernels().lowRankMerge(large, largeWeight, largeA, largeB);
        device.kernels().lowRankUnmerge(large, largeWeight, largeA, largeB);
        rate.traffic(MERGED, traffic);
        rate.traffic(MERGED, traffic);
    }
}
