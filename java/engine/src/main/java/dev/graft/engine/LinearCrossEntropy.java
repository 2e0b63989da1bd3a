package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_device;
import java.util.Objects;

/**
 * {@link SoftmaxCrossEntropy} of the logits {@code x weight' + bias}, with the gradients of x, weight and bias: for so many classes that
 * the logits of all rows would be the largest of all arrays. They exist for some rows at a time, in memory of the engine, and are
 * rounded to x's type, as is their gradient. x is [rows, features], weight [classes, features], bias [classes]; x, weight and the gradient
 * of x are all F32 or all BF16, everything else is F32. Immutable: each method returns a changed copy, which can be kept and used by any
 * number of threads. Numbers are checked by the call.
 */
public final class LinearCrossEntropy {
    private final SoftmaxCrossEntropy loss;
    private final long features;
    private long logitsBytes;
    private boolean accumulate;
    private Memory bias;

    private LinearCrossEntropy(SoftmaxCrossEntropy loss, long features) {
        this.loss = Objects.requireNonNull(loss, "loss");
        this.features = features;
    }

    private LinearCrossEntropy(LinearCrossEntropy other) {
        this(other.loss, other.features);
        logitsBytes = other.logitsBytes;
        accumulate = other.accumulate;
        bias = other.bias;
    }

    /**
     * Without a bias.
     *
     * @param loss of logits [rows, classes]
     * @param features of x
     */
    public static LinearCrossEntropy of(SoftmaxCrossEntropy loss, long features) {
        return new LinearCrossEntropy(loss, features);
    }

    /** F32 [classes]. */
    public LinearCrossEntropy bias(Memory bias) {
        LinearCrossEntropy next = new LinearCrossEntropy(this);
        next.bias = Objects.requireNonNull(bias, "bias");
        return next;
    }

    /** Most bytes of logits at a time, 128 MiB until it is set; one row always fits. */
    public LinearCrossEntropy logitsBytes(long bytes) {
        if (bytes < 1) {
            throw new IllegalArgumentException("logits bytes are " + bytes + "; expected at least 1");
        }
        LinearCrossEntropy next = new LinearCrossEntropy(this);
        next.logitsBytes = bytes;
        return next;
    }

    /** The gradients of weight and bias are added to what is there. */
    public LinearCrossEntropy accumulate() {
        LinearCrossEntropy next = new LinearCrossEntropy(this);
        next.accumulate = true;
        return next;
    }

    void add(Operands o, Memory x, Memory weight, Memory target, Gradients gradients, Memory results) {
        o.reads("x", Operands.needed("x", x), DType.F32, DType.BF16);
        o.reads("weight", Operands.needed("weight", weight), x.dtype());
        o.reads("bias", bias, DType.F32);
        o.reads("target", Operands.needed("target", target), DType.I32, DType.F32);
        o.reads("class weights", loss.classWeights, DType.F32);
        o.writes("gradient of x", gradients.x(), x.dtype());
        o.writes("gradient of weight", gradients.weight(), DType.F32);
        o.writes("gradient of bias", gradients.bias(), DType.F32);
        o.writes("results", Operands.needed("results", results), DType.F32);
    }

    int run(graft_device device, long stream, Operands o, DType type, DType target) {
        return Graft.graft_linear_cross_entropy(device, stream, type.code, loss.rows, features, loss.classes, loss.smoothing, loss.ignored,
                loss.factor, loss.normalizer, logitsBytes, accumulate ? 1 : 0, o.address(0), o.count(0), o.address(1), o.count(1),
                o.address(2), o.count(2), target.code, o.address(3), o.count(3), o.address(4), o.count(4), o.address(5), o.count(5),
                o.address(6), o.count(6), o.address(7), o.count(7), o.address(8), o.count(8));
    }

    /**
     * Where gradients go; null = it is not wanted, and nothing is computed for it.
     *
     * @param x [rows, features], of x's type, overwritten; may be the same memory as x
     * @param weight F32 [classes, features]
     * @param bias F32 [classes]
     */
    public record Gradients(Memory x, Memory weight, Memory bias) {}
}
