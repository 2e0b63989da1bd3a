package dev.graft.jmh;

import dev.graft.engine.Device;
import dev.graft.engine.Memory;
import dev.graft.engine.SoftmaxCrossEntropy;
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
 * The direct softmax cross-entropy with its gradient, 4096 x 32000. The logits have to be read once and the gradient written
 * once; in place the gradient of one call is the logits of the next, which stay finite and cost the same.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 5, time = 2)
@Fork(3)
public class SoftmaxCrossEntropyKernelBenchmark {
    private static final int ROWS = 4096;
    private static final int CLASSES = 32000;
    private static final long BYTES = 2L * ROWS * CLASSES * Float.BYTES;

    @Param("2")
    public int threads;

    /** Label smoothing. */
    @Param({"0", "0.1"})
    public double smoothing;

    private Device device;
    private SoftmaxCrossEntropy loss;
    private Memory logits;
    private Memory labels;
    private Ceiling ceiling;

    @Setup(Level.Trial)
    public void open() {
        ceiling = Ceiling.traffic(BYTES, threads);
        device = Device.open("cpu", threads, 1);
        loss = SoftmaxCrossEntropy.of(ROWS, CLASSES).labelSmoothing(smoothing);
        FloatBuffer values = Filling.normal("logits", (long) ROWS * CLASSES, 1);
        logits = Memory.of(values);
        int[] targets = new int[ROWS];
        for (int r = 0; r < ROWS; r++) {
            targets[r] = (int) (r * 7919L % CLASSES);
        }
        labels = Memory.of(targets);
    }

    @TearDown(Level.Trial)
    public void close() {
        device.close();
    }

    @Benchmark
    public double lossAndGradientInPlace(Ceiling.Rate rate) {
        double mean = device.kernels().softmaxCrossEntropy(loss, logits, labels, logits).mean();
        rate.traffic(BYTES, ceiling);
        return mean;
    }
}
