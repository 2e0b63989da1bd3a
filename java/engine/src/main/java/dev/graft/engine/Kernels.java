package dev.graft.engine;

/**
 * The engine's kernels on the caller's memory of the host, without a graph or a plan: {@link Device#kernels()}; those on memory
 * of a GPU are {@link StreamKernels}. Arguments are {@link Memory} of arrays, direct buffers, pointers or addresses; nothing is kept of them.
 *
 * <p>What a size needs is prepared at its first call and kept for the next (the 128 last used). A small call, up to some two
 * million operations or 32 768 elements, runs on the calling thread alone; a larger one on a lane of the device, where it waits
 * for its turn. A call returns when its result stands.
 *
 * <p>Safe for any number of threads, as long as no two calls write the same memory at the same moment. What is written may
 * overlap no other operand, except where a method says so. Errors: {@link IllegalArgumentException} names the operand, what was
 * expected and what came, before anything is written; {@link IllegalStateException} where the device is closed.
 */
public final class Kernels {
    private final DirectCalls calls;

    Kernels(Device device) {
        this.calls = new DirectCalls(device, true);
    }

    /**
     * A product of matrices with what {@link Matmul} says of bias, residual, factor and activation.
     *
     * @param product sizes and epilogue
     * @param a [m, k], F32 or BF16
     * @param b [k, n], of a's type
     * @param c [m, n], F32 or BF16; written
     */
    public void matmul(Matmul product, Memory a, Memory b, Memory c) {
        calls.run(o -> product.add(o, a, b, c), (device, o) -> product.run(device, 0, o, a.dtype(), c.dtype()));
    }

    /**
     * Mean softmax cross-entropy of rows of logits and its gradient.
     *
     * @param loss sizes, smoothing, class weights
     * @param logits [rows, classes], F32 or BF16
     * @param target I32 [rows]: labels, 0 to classes - 1 or the ignored one; or F32 [rows, classes]: probabilities
     * @param gradient [rows, classes], of the logits' type, written; may be the same memory as the logits; null = none is wanted
     */
    public SoftmaxCrossEntropy.Loss softmaxCrossEntropy(
            SoftmaxCrossEntropy loss, Memory logits, Memory target, Memory gradient) {
        float[] results = new float[2];
        Memory place = Memory.of(results);
        calls.run(o -> loss.add(o, logits, target, gradient, place), (device, o) -> loss.run(device, 0, o, logits.dtype(), target.dtype()));
        return new SoftmaxCrossEntropy.Loss(results[0], results[1]);
    }

    /**
     * Mean softmax cross-entropy of a linear layer's result, and all gradients, without the logits of all rows at once.
     *
     * @param layer sizes, bias, and the loss with its smoothing and class weights
     * @param x [rows, features], F32 or BF16
     * @param weight [classes, features], of x's type
     * @param target as of {@link #softmaxCrossEntropy}
     */
    public SoftmaxCrossEntropy.Loss linearCrossEntropy(
            LinearCrossEntropy layer, Memory x, Memory weight, Memory target, LinearCrossEntropy.Gradients gradients) {
        float[] results = new float[2];
        Memory place = Memory.of(results);
        calls.run(o -> layer.add(o, x, weight, target, gradients, place),
                (device, o) -> layer.run(device, 0, o, x.dtype(), target.dtype()));
        return new SoftmaxCrossEntropy.Loss(results[0], results[1]);
    }

    /**
     * One update of weights by their gradient, in one pass; with clipping the gradient is read once before it.
     *
     * @param step optimizer, rate, moments, what is live
     * @param weight F32; all of its elements; written
     * @param gradient F32, as many
     * @return the norm of the live gradient before clipping; 0 where nothing is clipped
     */
    public double optimizerStep(OptimizerStep step, Memory weight, Memory gradient) {
        float[] norm = new float[1];
        Memory place = step.clips() ? Memory.of(norm) : null;
        calls.run(o -> step.add(o, weight, gradient, place), (device, o) -> step.run(device, 0, o));
        return norm[0];
    }

    /**
     * Forward pass of a linear layer with a low-rank update.
     *
     * @param layer sizes, factor, slices, adapters
     * @param x [rows, in], F32 or BF16, and weight, a, b and y of its type; sums F32
     * @param weight [out, in]
     * @param a [slices * rank, in], of several adapters [adapters, slices * rank, in]
     * @param b [slices * width, rank], of several adapters [adapters, slices * width, rank]
     * @param y [rows, out]; written
     * @param t F32 [rows, slices * rank]: x a', which the backward pass reads; written
     */
    public void lowRankForward(LowRankLinear layer, Memory x, Memory weight, Memory a, Memory b, Memory y, Memory t) {
        calls.run(o -> layer.addForward(o, x, weight, a, b, y, t), (device, o) -> layer.forward(device, 0, o, x.dtype()));
    }

    /**
     * Gradients of x, a and b. What only a gradient that is not wanted reads may be null: x is read for da, the weight for dx,
     * t for db, a for dx, b for dx and da.
     *
     * @param layer as in the forward pass
     * @param t from the forward pass
     * @param dy gradient of y, [rows, out]
     * @param gradients which are wanted, and where they go
     */
    public void lowRankBackward(LowRankLinear layer, Memory x, Memory weight, Memory a, Memory b, Memory t, Memory dy,
            LowRankLinear.Gradients gradients) {
        calls.run(o -> layer.addBackward(o, x, weight, a, b, t, dy, gradients), (device, o) -> layer.backward(device, 0, o, dy.dtype()));
    }

    /** Adds the update to a weight [out, in] in one pass: {@code weight += factor * b a}, slice by slice; all three F32 or BF16. */
    public void lowRankMerge(LowRankLinear layer, Memory weight, Memory a, Memory b) {
        calls.run(o -> layer.addMerge(o, weight, a, b), (device, o) -> layer.merge(device, 0, o, weight.dtype(), 1));
    }

    /** Takes the update off a weight again; within two roundings of what it was before it was merged. */
    public void lowRankUnmerge(LowRankLinear layer, Memory weight, Memory a, Memory b) {
        calls.run(o -> layer.addMerge(o, weight, a, b), (device, o) -> layer.merge(device, 0, o, weight.dtype(), -1));
    }
}
