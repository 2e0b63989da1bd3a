package dev.graft.jmh;

import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
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
 * Softmax cross-entropy of 4096 x 32000 logits with the gradient in place. The score is the whole plan, which also makes
 * the logits and uses their gradient; the counter {@code lossMilliseconds} is the loss alone, which JMH sums over the
 * iterations.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 3)
@Measurement(iterations = 15)
@Fork(3)
public class SoftmaxCrossEntropyBenchmark {
    @Param("2")
    public int threads;

    private SoftmaxCrossEntropyStep step;

    /** The part of the score that is the loss. */
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.EVENTS)
    public static class Part {
        public double lossMilliseconds;
    }

    @Setup(Level.Trial)
    public void open() {
        step = new SoftmaxCrossEntropyStep(threads);
    }

    @TearDown(Level.Trial)
    public void close() {
        step.close();
    }

    @Benchmark
    public double lossAndGradient(Part part) {
        double loss = step.run();
        part.lossMilliseconds = step.countedMilliseconds();
        return loss;
    }
}
