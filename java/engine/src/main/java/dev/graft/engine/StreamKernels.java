package dev.graft.engine;

import org.bytedeco.javacpp.Pointer;

/**
 * The engine's kernels on the caller's memory of a GPU and on the caller's stream, without a graph or a plan:
 * {@link Device#kernels(long)}, {@link Device#kernels(Pointer)}. Arguments are {@link Memory} of JavaCPP pointers, as the CUDA
 * presets and other libraries give them, or of addresses with a count; nothing is copied, nothing is kept of them.
 *
 * <p>A call puts its work on the stream, behind what is there, and returns: it never waits for the GPU, reads nothing back, and
 * leaves the thread's current device as it was. What it computes stands when the stream has come by. Until then the caller
 * keeps the operands where they are, also the pointers that own them: this class does not. The first call of a size prepares
 * its kernels and may wait; they are kept for the next (the 128 last used). Make it before the stream is captured as a graph.
 *
 * <p>Before anything is enqueued the driver is asked where each operand lies. An address of the host, one that was freed, one
 * of another GPU, a count beyond the end of its allocation, a misaligned address, an overlap or sizes that overflow are an
 * {@link IllegalArgumentException} that names the operand, as far as the driver tells; so is a stream of another GPU. What
 * it cannot tell, such as memory that was freed and given away again, ends as in CUDA. Managed memory serves. Values on the
 * GPU are not looked at: a label that is no class makes the loss NaN, an adapter that there is not makes its rows NaN.
 *
 * <p>Safe for any number of threads; calls on one stream run in their order, and no two at one time may write the same memory.
 */
public final class StreamKernels {
    private final DirectCalls calls;
    private final long stream;
    // keeps the stream's owner reachable
    private final Pointer owner;

    StreamKernels(DirectCalls calls, long stream, Pointer owner) {
        this.calls = calls;
        this.stream = stream;
        this.owner = owner;
    }

    /** The stream's handle, a cudaStream_t. */
    public long stream() {
        return owner == null ? stream : owner.address();
    }

    /** {@link Kernels#matmul}. */
    public void matmul(Matmul product, Memory a, Memory b, Memory c) {
        calls.run(o -> product.add(o, a, b, c), (device, o) -> product.run(device, stream(), o, a.dtype(), c.dtype()));
    }

    /**
     * {@link Kernels#softmaxCrossEntropy}.
     *
     * @param gradient null = none is wanted
     * @param results F32 [2], written: the mean, and the rows whose largest logit is the target's
     */
    public void softmaxCrossEntropy(SoftmaxCrossEntropy loss, Memory logits, Memory target, Memory gradient, Memory results) {
        calls.run(o -> loss.add(o, logits, target, gradient, results), (device, o) -> loss.run(device, stream(), o, logits.dtype(), target.dtype()));
    }

    /**
     * {@link Kernels#linearCrossEntropy}.
     *
     * @param results F32 [2], written: the mean, and the rows whose largest logit is the target's
     */
    public void linearCrossEntropy(
            LinearCrossEntropy layer, Memory x, Memory weight, Memory target, LinearCrossEntropy.Gradients gradients, Memory results) {
        calls.run(o -> layer.add(o, x, weight, target, gradients, results),
                (device, o) -> layer.run(device, stream(), o, x.dtype(), target.dtype()));
    }

    /**
     * {@link Kernels#optimizerStep}.
     *
     * @param norm F32 [1], written: the norm of the live gradient before clipping; null = it is not wanted. Only of a step that
     *     clips
     */
    public void optimizerStep(OptimizerStep step, Memory weight, Memory gradient, Memory norm) {
        calls.run(o -> step.add(o, weight, gradient, norm), (device, o) -> step.run(device, stream(), o));
    }

    /** {@link Kernels#lowRankForward}. */
    public void lowRankForward(LowRankLinear layer, Memory x, Memory weight, Memory a, Memory b, Memory y, Memory t) {
        calls.run(o -> layer.addForward(o, x, weight, a, b, y, t), (device, o) -> layer.forward(device, stream(), o, x.dtype()));
    }

    /** {@link Kernels#lowRankBackward}. */
    public void lowRankBackward(LowRankLinear layer, Memory x, Memory weight, Memory a, Memory b, Memory t, Memory dy,
            LowRankLinear.Gradients gradients) {
        calls.run(o -> layer.addBackward(o, x, weight, a, b, t, dy, gradients), (device, o) -> layer.backward(device, stream(), o, dy.dtype()));
    }

    /** {@link Kernels#lowRankMerge}. */
    public void lowRankMerge(LowRankLinear layer, Memory weight, Memory a, Memory b) {
        calls.run(o -> layer.addMerge(o, weight, a, b), (device, o) -> layer.merge(device, stream(), o, weight.dtype(), 1));
    }

    /** {@link Kernels#lowRankUnmerge}. */
    public void lowRankUnmerge(LowRankLinear layer, Memory weight, Memory a, Memory b) {
        calls.run(o -> layer.addMerge(o, weight, a, b), (device, o) -> layer.merge(device, stream(), o, weight.dtype(), -1));
    }
}
