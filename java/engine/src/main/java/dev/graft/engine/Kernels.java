package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
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
            operands.reads("bias", product.bias, DType.F32);
            operands.reads("residual", product.residual, c.dtype());
        }, o -> Graft.graft_matmul(device.pointer, product.flags, product.activation.code, product.factor, product.batch,
                product.m, product.n, product.k, a.dtype().code, c.dtype().code,
                o.address(0), o.count(0), product.rowA(), product.stepA(),
                o.address(1), o.count(1), product.rowB(), product.stepB(),
                o.address(2), o.count(2), product.rowC(), product.stepC(),
                o.address(3), o.count(3), o.address(4), o.count(4)));
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
            operands.reads("class weights", loss.classWeights, DType.F32);
            operands.writes("gradient", gradient, DType.F32);
        }, o -> Graft.graft_softmax_cross_entropy(device.pointer, loss.rows, loss.classes, loss.smoothing, loss.ignored,
                loss.factor, loss.normalizer, o.address(0), o.count(0), target.dtype().code, o.address(1), o.count(1),
                o.address(2), o.count(2), o.address(3), o.count(3), results));
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
            operands.writes("first moment", step.first, DType.F32);
            operands.writes("second moment", step.second, DType.F32);
            operands.reads("anchor", step.anchor, DType.F32);
            operands.reads("mask", step.mask, DType.U8);
        }, o -> update(step, weight.count(), o, norm));
        return norm[0];
    }

    private int update(OptimizerStep step, long count, Operands o, double[] norm) {
        int kind = Graft.GRAFT_SGD;
        double momentum = 0;
        boolean nesterov = false;
        double[] adam = {0, 0, 0};
        if (step.optimizer instanceof Optimizer.Sgd sgd) {
            momentum = sgd.momentum();
            nesterov = sgd.nesterov();
        } else if (step.optimizer instanceof Optimizer.Adam coupled) {
            kind = Graft.GRAFT_ADAM;
            adam = new double[] {coupled.beta1(), coupled.beta2(), coupled.eps()};
        } else if (step.optimizer instanceof Optimizer.AdamW decoupled) {
            kind = Graft.GRAFT_ADAMW;
            adam = new double[] {decoupled.beta1(), decoupled.beta2(), decoupled.eps()};
        }
        return Graft.graft_optimizer_step(device.pointer, kind, momentum, nesterov ? 1 : 0, adam[0], adam[1], adam[2],
                step.rate, step.decay, step.anchorStrength, step.clip, step.update, count, step.ranges, step.ranges.length / 2,
                o.address(0), o.count(0), o.address(1), o.count(1), o.address(2), o.count(2), o.address(3), o.count(3),
                o.address(4), o.count(4), o.address(5), o.count(5), norm);
    }
}
