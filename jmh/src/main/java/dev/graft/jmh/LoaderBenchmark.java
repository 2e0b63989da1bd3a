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
 * An epoch of ResNet-18 full steps on JPEGs of 500 x 375 that are decoded beside them. The counter is the share of the time
 * in which the engine waited for pictures, summed over the iterations by JMH.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 1)
@Measurement(iterations = 1)
@Fork(3)
public class LoaderBenchmark {
    @Param({"F32", "BF16"})
    public Precision precision;

    @Param("2")
    public int threads;

    private LoaderEpoch step;

    /** How long the engine waited. */
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.EVENTS)
    public static class Waiting {
        public double waitedPercent;
    }

    @Setup(Level.Trial)
    public void open() {
        step = new LoaderEpoch(precision, threads, new HashMap<>());
    }

    @TearDown(Level.Trial)
    public void close() {
        step.close();
    }

    @Benchmark
    public double epoch(Waiting waiting) {
        double loss = step.run();
        waiting.waitedPercent = step.waitedPercent();
        return loss;
    }
}
