package dev.graft.jmh.gpu;

import dev.graft.engine.Activation;
import dev.graft.engine.DType;
import dev.graft.engine.LinearCrossEntropy;
import dev.graft.engine.LowRankLinear;
import dev.graft.engine.Matmul;
import dev.graft.engine.Memory;
import dev.graft.engine.Optimizer;
import dev.graft.engine.OptimizerStep;
import dev.graft.engine.SoftmaxCrossEntropy;
import dev.graft.engine.StreamKernels;
import org.openjdk.jmh.annotations.Param;

/** The direct kernels; {@link VendorBenchmark} has NVIDIA's for the same sizes. */
public class GpuKernelBenchmark extends DeviceTimed {
    /** What is called. */
    @Param({"matmul 4096x4096x4096", "matmul 8192x8192x8192", "matmul 25216x2304x768", "matmul 25216x768x768", "matmul 25216x3072x768",
        "matmul+bias+gelu 4096x4096x4096", "matmul f32 2048x2048x2048", "lora 8192x768x768 r8", "lora 8192x4096x4096 r64",
        "softmax_ce 8192x50257", "linear_ce 8192x768x50257", "merge 8192x8192 r16", "adamw 100000000", "adamw masked blocks 100000000"})
    public String kernel;

    private Gpu gpu;

    @Override
    String kernel() {
        return kernel;
    }

    @Override
    Runnable prepare(Gpu on, int[] sizes) {
        gpu = on;
        int rank = kernel.contains(" r") ? Integer.parseInt(kernel.substring(kernel.lastIndexOf(" r") + 2)) : 0;
        String word = kernel.substring(0, kernel.indexOf(' '));
        return switch (word) {
            case "matmul", "matmul+bias+gelu" -> matmul(sizes, word.contains("gelu"), kernel.contains("f32") ? DType.F32 : DType.BF16);
            case "lora" -> lora(sizes, rank);
            case "softmax_ce" -> crossEntropy(sizes);
            case "linear_ce" -> linearCrossEntropy(sizes);
            case "merge" -> merge(sizes, rank);
            case "adamw" -> adamw(sizes[0], kernel.contains("masked"));
            default -> throw new IllegalArgumentException("no kernel " + kernel);
        };
    }

    /** c [m, n] = a [m, k] b', b as a linear layer's weight [n, k]. */
    private Runnable matmul(int[] s, boolean gelu, DType type) {
        Memory a = gpu.normal("a", (long) s[0] * s[2], type, 1);
        Memory b = gpu.normal("b", (long) s[1] * s[2], type, 0.05);
        Memory c = gpu.zeros((long) s[0] * s[1], type);
        Matmul plain = Matmul.of(s[0], s[1], s[2]).transposeB();
        Matmul product = gelu ? plain.bias(gpu.normal("bias", s[1], DType.F32, 1)).activation(Activation.GELU) : plain;
        return () -> gpu.kernels.matmul(product, a, b, c);
    }

    /** rows x in x out: forward and the gradients of x, a and b. */
    private Runnable lora(int[] s, int rank) {
        long rows = s[0];
        LowRankLinear layer = LowRankLinear.of(rows, s[1], s[2], rank, 2);
        Memory x = gpu.normal("x", rows * s[1], DType.BF16, 1);
        Memory weight = gpu.normal("weight", (long) s[1] * s[2], DType.BF16, 0.05);
        Memory a = gpu.normal("a", (long) rank * s[1], DType.BF16, 0.05);
        Memory b = gpu.normal("b", (long) rank * s[2], DType.BF16, 0.05);
        Memory y = gpu.zeros(rows * s[2], DType.BF16);
        Memory t = gpu.zeros(layer.sums(), DType.F32);
        Memory dy = gpu.normal("dy", rows * s[2], DType.BF16, 1);
        LowRankLinear.Gradients gradients = new LowRankLinear.Gradients(gpu.zeros(rows * s[1], DType.BF16),
                gpu.zeros(a.count(), DType.F32), gpu.zeros(b.count(), DType.F32));
        StreamKernels kernels = gpu.kernels;
        return () -> {
            kernels.lowRankForward(layer, x, weight, a, b, y, t);
            kernels.lowRankBackward(layer, x, weight, a, b, t, dy, gradients);
        };
    }

    /** In place: after the first call the logits are gradients, which costs the same. */
    private Runnable crossEntropy(int[] s) {
        Memory logits = gpu.normal("logits", (long) s[0] * s[1], DType.BF16, 1);
        Memory labels = gpu.labels(s[0], s[1]);
        Memory results = gpu.zeros(2, DType.F32);
        SoftmaxCrossEntropy loss = SoftmaxCrossEntropy.of(s[0], s[1]);
        return () -> gpu.kernels.softmaxCrossEntropy(loss, logits, labels, logits, results);
    }

    /** rows x features x classes: loss and the gradients of x and weight. */
    private Runnable linearCrossEntropy(int[] s) {
        Memory x = gpu.normal("x", (long) s[0] * s[1], DType.BF16, 1);
        Memory weight = gpu.normal("weight", (long) s[2] * s[1], DType.BF16, 0.05);
        Memory labels = gpu.labels(s[0], s[2]);
        Memory results = gpu.zeros(2, DType.F32);
        LinearCrossEntropy layer = LinearCrossEntropy.of(SoftmaxCrossEntropy.of(s[0], s[2]), s[1]);
        LinearCrossEntropy.Gradients gradients =
                new LinearCrossEntropy.Gradients(gpu.zeros((long) s[0] * s[1], DType.BF16), gpu.zeros((long) s[2] * s[1], DType.F32), null);
        return () -> gpu.kernels.linearCrossEntropy(layer, x, weight, labels, gradients, results);
    }

    private Runnable merge(int[] s, int rank) {
        LowRankLinear layer = LowRankLinear.of(1, s[1], s[0], rank, 1e-3);
        Memory weight = gpu.normal("weight", (long) s[0] * s[1], DType.BF16, 0.05);
        Memory a = gpu.normal("a", (long) rank * s[1], DType.BF16, 0.05);
        Memory b = gpu.normal("b", (long) rank * s[0], DType.BF16, 0.05);
        return () -> gpu.kernels.lowRankMerge(layer, weight, a, b);
    }

    private Runnable adamw(int count, boolean masked) {
        Memory weight = gpu.normal("weight", count, DType.F32, 0.05);
        Memory gradient = gpu.normal("gradient", count, DType.F32, 1e-3);
        OptimizerStep plain = OptimizerStep.of(new Optimizer.AdamW()).rate(1e-6).decay(0.01)
                .moments(gpu.zeros(count, DType.F32), gpu.zeros(count, DType.F32));
        OptimizerStep step = masked ? plain.mask(gpu.blockMask(count)) : plain;
        return () -> gpu.kernels.optimizerStep(step, weight, gradient, null);
    }
}
