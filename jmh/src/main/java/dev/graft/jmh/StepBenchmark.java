package dev.graft.jmh;

import dev.graft.engine.Precision;
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
 * One training step of a published network. A step allocates nothing on the Java heap: what {@code -prof gc} shows in this
 * mode, some kilobytes, is JMH's own; {@link GraftProcess} counts exactly.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 3)
@Measurement(iterations = 7)
@Fork(3)
public class StepBenchmark {
    @Param("resnet18")
    public String model;

    @Param({"full", "head", "partial:from=layer4"})
    public String strategy;

    @Param({"F32", "BF16"})
    public Precision precision;

    @Param("32")
    public int batch;

    @Param("2")
    public int threads;

    private TrainingStep step;

    @Setup(Level.Trial)
    public void open() {
        step = new TrainingStep(StartFile.published(model), TrainingStep.Recipe.sgd(strategy), precision, batch, threads);
    }

    @TearDown(Level.Trial)
    public void close() {
        step.close();
    }

    @Benchmark
    public double step() {
        return step.run();
    }
}
