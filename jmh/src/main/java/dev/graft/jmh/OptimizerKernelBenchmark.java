package dev.graft.jmh;

import dev.graft.engine.Device;
import dev.graft.engine.Memory;
import dev.graft.engine.Optimizer;
import dev.graft.engine.OptimizerStep;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
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
 * The direct optimizer step of 32 million weights. Read and written are, per live weight: weight and gradient (12 bytes), a
 * momentum (8 more), Adam's two moments (16 more); of a mask one bit a weight.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 5, time = 2)
@Fork(3)
public class OptimizerKernelBenchmark {
    private static final int COUNT = 1 << 25;

    @Param("2")
    public int threads;

    @Param({"sgd", "nesterov", "adamw"})
    public String optimizer;

    /** all weights, the upper half of the rows, or three of four 64-element runs by a bit mask. */
    @Param({"all", "rows", "mask"})
    public String live;

    private Device device;
    private OptimizerStep step;
    private Memory weight;
    private Memory gradient;
    private long bytes;
    private long number;
    private Ceiling ceiling;

    @Setup(Level.Trial)
    public void open() {
        device = Device.open("cpu", threads, 1);
        weight = Memory.of(Filling.normal("weight", COUNT, 0.01));
        gradient = Memory.of(Filling.normal("gradient", COUNT, 0.01));
        long perWeight = 12;
        switch (optimizer) {
            case "sgd" -> step = OptimizerStep.of(new Optimizer.Sgd(0, false));
            case "nesterov" -> {
                step = OptimizerStep.of(new Optimizer.Sgd(0.9, true)).momentum(zeros());
                perWeight += 8;
            }
            default -> {
                step = OptimizerStep.of(new Optimizer.AdamW()).moments(zeros(), zeros());
                perWeight += 16;
            }
        }
        step = step.rate(1e-4).decay(0.01);
        bytes = perWeight * COUNT;
        if (live.equals("rows")) {
            step = step.rows(1024, COUNT / 2048, COUNT / 1024);
            bytes /= 2;
        } else if (live.equals("mask")) {
            step = step.mask(mask());
            bytes = bytes / 4 * 3 + COUNT / 8;
        }
        ceiling = Ceiling.traffic(bytes, threads);
    }

    private static Memory zeros() {
        return Memory.of(ByteBuffer.allocateDirect(COUNT * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer());
    }

    private static Memory mask() {
        ByteBuffer bits = ByteBuffer.allocateDirect(COUNT / 8);
        for (int i = 0; i < bits.capacity(); i++) {
            bits.put(i, (byte) (i / 8 % 4 == 3 ? 0 : -1));
        }
        return Memory.of(bits);
    }

    @TearDown(Level.Trial)
    public void close() {
        device.close();
    }

    @Benchmark
    public double update(Ceiling.Rate rate) {
        double norm = device.kernels().optimizerStep(step.update(++number), weight, gradient);
        rate.traffic(bytes, ceiling);
        return norm;
    }
}
