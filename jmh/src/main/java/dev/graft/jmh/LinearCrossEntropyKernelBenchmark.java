package dev.graft.jmh;

import dev.graft.engine.Device;
import dev.graft.engine.LinearCrossEntropy;
import dev.graft.engine.Matmul;
import dev.graft.engine.Memory;
import dev.graft.engine.SoftmaxCrossEntropy;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
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
 * A head of 50257 classes on 768 features with its loss and the gradients of x and weight: as one call that holds the logits of some
 * rows at a time (128 MiB), beside product, loss and two products that hold those of all (98 MiB of 512 rows, 393 of 2048).
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 1, time = 2)
@Measurement(iterations = 3, time = 4)
@Fork(1)
public class LinearCrossEntropyKernelBenchmark {
    private static final int FEATURES = 768;
    private static final int CLASSES = 50257;

    @Param("2")
    public int threads;

    @Param({"512", "2048"})
    public int rows;

    private Device device;
    private SoftmaxCrossEntropy loss;
    private Memory x;
    private Memory weight;
    private Memory labels;
    private Memory dx;
    private Memory dw;
    private Memory logits;

    @Setup(Level.Trial)
    public void open() {
        device = Device.open("cpu", threads, 1);
        loss = SoftmaxCrossEntropy.of(rows, CLASSES);
        x = Memory.of(Filling.normal("x", (long) rows * FEATURES, 1));
        weight = Memory.of(Filling.normal("weight", (long) CLASSES * FEATURES, 0.03f));
        dx = room((long) rows * FEATURES);
        dw = room((long) CLASSES * FEATURES);
        int[] targets = new int[rows];
        for (int r = 0; r < rows; r++) {
            targets[r] = (int) (r * 7919L % CLASSES);
        }
        labels = Memory.of(targets);
    }

    @TearDown(Level.Trial)
    public void close() {
        device.close();
    }

    private static Memory room(long count) {
        FloatBuffer buffer = ByteBuffer.allocateDirect(Math.toIntExact(count * Float.BYTES)).order(ByteOrder.nativeOrder()).asFloatBuffer();
        return Memory.of(buffer);
    }

    @Benchmark
    public double fused() {
        return device.kernels().linearCrossEntropy(LinearCrossEntropy.of(loss, FEATURES), x, weight, labels,
                new LinearCrossEntropy.Gradients(dx, dw, null)).mean();
    }

    @Benchmark
    public double apart() {
        if (logits == null) {
            logits = room((long) rows * CLASSES);
        }
        device.kernels().matmul(Matmul.of(rows, CLASSES, FEATURES).transposeB(), x, weight, logits);
        double mean = device.kernels().softmaxCrossEntropy(loss, logits, labels, logits).mean();
        device.kernels().matmul(Matmul.of(rows, FEATURES, CLASSES), logits, weight, dx);
        device.kernels().matmul(Matmul.of(CLASSES, FEATURES, rows).transposeA(), logits, x, dw);
        return mean;
    }
}
