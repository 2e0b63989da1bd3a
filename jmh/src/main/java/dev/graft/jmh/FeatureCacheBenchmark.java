package dev.graft.jmh;

import dev.graft.engine.Precision;
import java.util.HashMap;
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
 * Two epochs of a new head on ResNet-18 with the feature cache. The score is the whole run; the counters are its first epoch,
 * which fills the cache, and its second, which reads it, each summed over the iterations by JMH.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 1)
@Measurement(iterations = 1)
@Fork(3)
public class FeatureCacheBenchmark {
    @Param({"F32", "BF16"})
    public Precision precision;

    @Param("2")
    public int threads;

    private CachedHead step;

    /** The parts of the score. */
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.EVENTS)
    public static class Epochs {
        public double firstMilliseconds;
        public double secondMilliseconds;
    }

    @Setup(Level.Trial)
    public void open() {
        step = new CachedHead(precision, threads, new HashMap<>());
    }

    @TearDown(Level.Trial)
    public void close() {
        step.close();
    }

    @Benchmark
    public double twoEpochs(Epochs epochs) {
        double loss = step.run();
        epochs.firstMilliseconds = step.firstMilliseconds();
        epochs.secondMilliseconds = step.countedMilliseconds();
        return loss;
    }
}
