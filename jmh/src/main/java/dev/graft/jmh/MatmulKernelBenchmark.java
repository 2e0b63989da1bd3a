package dev.graft.jmh;

import dev.graft.engine.Activation;
import dev.graft.engine.Device;
import dev.graft.engine.Matmul;
import dev.graft.engine.Memory;
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

/** The direct product with bias and GELU, 4096 x 768 x 768 and a small one that runs on the calling thread. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 5, time = 2)
@Fork(3)
public class MatmulKernelBenchmark {
    @Param("2")
    public int threads;

    /** m x n x k. */
    @Param({"4096x768x768", "64x64x64"})
    public String sizes;

    /** Which operands lie transposed: NT is a linear layer's forward pass, NN and TN are its gradients. */
    @Param({"NT", "NN", "TN"})
    public String layout;

    /** direct, or array: float[], which is copied to direct memory and back. */
    @Param({"direct", "array"})
    public String memory;

    /** none, or bias+gelu. */
    @Param({"none", "bias+gelu"})
    public String epilogue;

    private Device device;
    private Matmul product;
    private Memory a;
    private Memory b;
    private Memory c;
    private double flops;
    private Ceiling ceiling;

    @Setup(Level.Trial)
    public void open() {
        String[] words = sizes.split("x");
        int m = Integer.parseInt(words[0]);
        int n = Integer.parseInt(words[1]);
        int k = Integer.parseInt(words[2]);
        flops = 2.0 * m * n * k;
        boolean alone = flops <= 1 << 21;
        ceiling = Ceiling.product(m, n, k, alone ? 1 : threads);
        device = Device.open("cpu", threads, 1);
        product = Matmul.of(m, n, k);
        product = layout.charAt(0) == 'T' ? product.transposeA() : product;
        product = layout.charAt(1) == 'T' ? product.transposeB() : product;
        if (epilogue.equals("bias+gelu")) {
            product = product.bias(Memory.of(Filling.normal("bias", n, 1))).activation(Activation.GELU);
        }
        a = memory(Filling.normal("a", (long) m * k, 1));
        b = memory(Filling.normal("b", (long) k * n, 0.05));
        c = memory(Filling.normal("c", (long) m * n, 1));
    }

    private Memory memory(FloatBuffer values) {
        if (memory.equals("direct")) {
            return Memory.of(values);
        }
        float[] array = new float[values.capacity()];
        values.get(array);
        return Memory.of(array);
    }

    @TearDown(Level.Trial)
    public void close() {
        device.close();
    }

    @Benchmark
    public void multiply(Ceiling.Rate rate) {
        device.kernels().matmul(product, a, b, c);
        rate.products(flops, ceiling);
    }
}
