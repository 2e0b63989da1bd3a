package dev.graft.engine;

import java.util.concurrent.ConcurrentLinkedDeque;

/**
 * The engine's kernels on memory of the caller, without a graph or a plan: {@link Device#kernels()}. Arguments are
 * {@link Memory} of arrays, direct buffers, pointers or addresses; nothing is kept of them.
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
    private static final DType[] FLOATS = {DType.F32, DType.BF16};

    private final Device device;
    private final ConcurrentLinkedDeque<Operands> idle = new ConcurrentLinkedDeque<>();

    Kernels(Device device) {
        this.device = device;
    }

    /** One native call; the operands have been added. */
    private interface Call {
        int run(Operands operands);
    }

    private interface Adding {
        void to(Operands operands);
    }

    private void call(Adding adding, Call call) {
        device.handle.enter();
        try {
            Operands operands = idle.pollFirst();
            if (operands == null) {
                operands = new Operands();
            }
            try {
                adding.to(operands);
                operands.copyIn();
                Status.check(call.run(operands));
                operands.copyOut();
            } finally {
                operands.clear();
                idle.addFirst(operands);
            }
        } finally {
            device.handle.exit();
        }
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
        call(operands -> {
            operands.reads("a", Operands.needed("a", a), FLOATS);
            operands.reads("b", Operands.needed("b", b), FLOATS);
            operands.writes("c", Operands.needed("c", c), FLOATS);
            product.addEpilogue(operands, c.dtype());
        }, o -> product.run(device.pointer, o, a.dtype(), c.dtype()));
    }

    /**
     * Mean softmax cross-entropy of rows of logits and its gradient.
     *
     * @param loss sizes, smoothing, class weights
     * @param logits [rows, classes], F32
     * @param target I32 [rows]: labels, 0 to classes - 1 or the ignored one; or F32 [rows, classes]: probabilities
     * @param gradient [rows, classes], F32, written; may be the same memory as the logits; null = none is wanted
     */
    public SoftmaxCrossEntropy.Loss softmaxCrossEntropy(
            SoftmaxCrossEntropy loss, Memory logits, Memory target, Memory gradient) {
        double[] results = new double[2];
        call(operands -> {
            operands.reads("logits", Operands.needed("logits", logits), DType.F32);
            operands.reads("target", Operands.needed("target", target), DType.I32, DType.F32);
            loss.addClassWeights(operands);
            operands.writes("gradient", gradient, DType.F32);
        }, o -> loss.run(device.pointer, o, target.dtype(), results));
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
        double[] norm = new double[1];
        call(operands -> {
            operands.writes("weight", Operands.needed("weight", weight), DType.F32);
            operands.reads("gradient", Operands.needed("gradient", gradient), DType.F32);
            step.addRest(operands);
        }, o -> step.run(device.pointer, o, norm));
        return norm[0];
    }

    /**
     * Forward pass of a linear layer with a low-rank update.
     *
     * @param layer sizes, factor, slices, adapters
     * @param x [rows, in]
     * @param weight [out, in]
     * @param a [slices * rank, in], of several adapters [adapters, slices * rank, in]
     * @param b [slices * width, rank], of several adapters [adapters, slices * width, rank]
     * @param y [rows, out]; written
     * @param t [rows, slices * rank]: x a', which the backward pass reads; written
     */
    public void lowRankForward(LowRankLinear layer, Memory x, Memory weight, Memory a, Memory b, Memory y, Memory t) {
        call(operands -> layer.addForward(operands, x, weight, a, b, y, t), o -> layer.forward(device.pointer, o));
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
        call(operands -> layer.addBackward(operands, x, weight, a, b, t, dy, gradients), o -> layer.backward(device.pointer, o));
    }

    /** Adds the update to a weight [out, in] in one pass: {@code weight += factor * b a}, slice by slice. */
    public void lowRankMerge(LowRankLinear layer, Memory weight, Memory a, Memory b) {
        call(operands -> layer.addMerge(operands, weight, a, b), o -> layer.merge(device.pointer, o, 1));
    }

    /** Takes the update off a weight again; within two roundings of what it was before it was merged. */
    public void lowRankUnmerge(LowRankLinear layer, Memory weight, Memory a, Memory b) {
        call(operands -> layer.addMerge(operands, weight, a, b), o -> layer.merge(device.pointer, o, -1));
    }
}
