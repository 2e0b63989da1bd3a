package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_device;
import java.util.Objects;

/**
 * Mean softmax cross-entropy of rows of logits, as PyTorch's {@code cross_entropy}: of a row
 * {@code -sum over k of w[k] q[k] log softmax(x)[k]}, q smoothed to {@code (1 - s) q + s / classes}. Immutable: each method
 * returns a changed copy, which can be kept and used by any number of threads. Numbers are checked by the call.
 */
public final class SoftmaxCrossEntropy {
    final long rows;
    final long classes;
    double smoothing;
    int ignored = -100;
    double factor = 1;
    double normalizer;
    Memory classWeights;

    private SoftmaxCrossEntropy(long rows, long classes) {
        this.rows = rows;
        this.classes = classes;
    }

    private SoftmaxCrossEntropy(SoftmaxCrossEntropy other) {
        this(other.rows, other.classes);
        smoothing = other.smoothing;
        ignored = other.ignored;
        factor = other.factor;
        normalizer = other.normalizer;
        classWeights = other.classWeights;
    }

    /** Of logits [rows, classes]. */
    public static SoftmaxCrossEntropy of(long rows, long classes) {
        return new SoftmaxCrossEntropy(rows, classes);
    }

    /** Share of the target that is spread evenly over all classes, 0 to 1 (Szegedy et al. 2016). */
    public SoftmaxCrossEntropy labelSmoothing(double share) {
        SoftmaxCrossEntropy next = new SoftmaxCrossEntropy(this);
        next.smoothing = share;
        return next;
    }

    /** Rows with this label do not count: they are not read and their gradient is 0. -100 until it is set. */
    public SoftmaxCrossEntropy ignoring(int label) {
        SoftmaxCrossEntropy next = new SoftmaxCrossEntropy(this);
        next.ignored = label;
        return next;
    }

    /** F32 [classes]: w. With labels the mean divides by the sum of the weights of the rows' labels. */
    public SoftmaxCrossEntropy classWeights(Memory weights) {
        SoftmaxCrossEntropy next = new SoftmaxCrossEntropy(this);
        next.classWeights = Objects.requireNonNull(weights, "weights");
        return next;
    }

    /** Multiplies the gradient, and only it: the weight of this loss in a sum of several. */
    public SoftmaxCrossEntropy factor(double factor) {
        SoftmaxCrossEntropy next = new SoftmaxCrossEntropy(this);
        next.factor = factor;
        return next;
    }

    /** What the sum over the rows is divided by, for a batch that comes in parts; 0 = what the rows of the call weigh. */
    public SoftmaxCrossEntropy normalizer(double rows) {
        SoftmaxCrossEntropy next = new SoftmaxCrossEntropy(this);
        next.normalizer = rows;
        return next;
    }

    void add(Operands o, Memory logits, Memory target, Memory gradient, Memory results) {
        o.reads("logits", Operands.needed("logits", logits), DType.F32, DType.BF16);
        o.reads("target", Operands.needed("target", target), DType.I32, DType.F32);
        o.reads("class weights", classWeights, DType.F32);
        o.writes("gradient", gradient, logits.dtype());
        o.writes("results", Operands.needed("results", results), DType.F32);
    }

    int run(graft_device device, long stream, Operands o, DType type, DType target) {
        return Graft.graft_softmax_cross_entropy(device, stream, type.code, rows, classes, smoothing, ignored, factor, normalizer,
                o.address(0), o.count(0), target.code, o.address(1), o.count(1), o.address(2), o.count(2),
                o.address(3), o.count(3), o.address(4), o.count(4));
    }

    /**
     * What a call finds.
     *
     * @param mean the loss; NaN where no row counts, as PyTorch's
     * @param correct rows whose largest logit is the target's
     */
    public record Loss(double mean, double correct) {}
}
