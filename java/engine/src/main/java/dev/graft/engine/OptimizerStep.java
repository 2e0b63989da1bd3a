package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_device;
import java.util.Arrays;
import java.util.Objects;

/**
 * One update of weights by their gradient, formulas as in torch.optim 2.x; see {@link Optimizer}. Elements that a mask or the
 * row ranges leave out keep weight and moments. Immutable: each method returns a changed copy, which can be kept and used by
 * any number of threads. Numbers are checked by the call.
 */
public final class OptimizerStep {
    private final Optimizer optimizer;
    private double rate;
    private double decay;
    private double anchorStrength;
    private double clip;
    private double averageDecay;
    private long update = 1;
    // of elements, first and behind the last of each; none: all
    private long[] ranges = {};
    private Memory first;
    private Memory second;
    private Memory anchor;
    private Memory mask;
    private Memory average;
    private Memory copy;

    private OptimizerStep(Optimizer optimizer) {
        this.optimizer = Objects.requireNonNull(optimizer, "optimizer");
    }

    private OptimizerStep(OptimizerStep other) {
        this(other.optimizer);
        rate = other.rate;
        decay = other.decay;
        anchorStrength = other.anchorStrength;
        clip = other.clip;
        averageDecay = other.averageDecay;
        update = other.update;
        ranges = other.ranges;
        first = other.first;
        second = other.second;
        anchor = other.anchor;
        mask = other.mask;
        average = other.average;
        copy = other.copy;
    }

    /** An update at rate 0, without moments: enough for SGD without momentum once it has a rate. */
    public static OptimizerStep of(Optimizer optimizer) {
        return new OptimizerStep(optimizer);
    }

    /** Learning rate. */
    public OptimizerStep rate(double rate) {
        OptimizerStep next = new OptimizerStep(this);
        next.rate = rate;
        return next;
    }

    /** Weight decay, at least 0: part of the gradient for SGD and Adam, of the weight itself for AdamW. */
    public OptimizerStep decay(double decay) {
        OptimizerStep next = new OptimizerStep(this);
        next.decay = decay;
        return next;
    }

    /** Number of this update, 1 for the first: what Adam's bias correction counts. */
    public OptimizerStep update(long number) {
        OptimizerStep next = new OptimizerStep(this);
        next.update = number;
        return next;
    }

    /** SGD's momentum, F32 of the weights' count, 0 before the first update; written. */
    public OptimizerStep momentum(Memory moment) {
        OptimizerStep next = new OptimizerStep(this);
        next.first = Objects.requireNonNull(moment, "moment");
        return next;
    }

    /** Adam's first and second moment, F32 of the weights' count, 0 before the first update; written. */
    public OptimizerStep moments(Memory first, Memory second) {
        OptimizerStep next = momentum(first);
        next.second = Objects.requireNonNull(second, "second");
        return next;
    }

    /** Adds {@code strength * (weight - start)} to the gradient: L2-SP (Li, Grandvalet, Davoine 2018). F32 of the weights' count. */
    public OptimizerStep anchor(double strength, Memory start) {
        OptimizerStep next = new OptimizerStep(this);
        next.anchorStrength = strength;
        next.anchor = Objects.requireNonNull(start, "start");
        return next;
    }

    /** Scales the gradient so that the norm of its live elements is at most this; 0 = not. */
    public OptimizerStep clip(double norm) {
        OptimizerStep next = new OptimizerStep(this);
        next.clip = norm;
        return next;
    }

    /**
     * Keeps a moving average of the live weights: {@code average = decay * average + (1 - decay) * weight} after the update.
     *
     * @param decay above 0, below 1
     * @param average F32 of the weights' count, the weights before the first update; written
     */
    public OptimizerStep average(double decay, Memory average) {
        OptimizerStep next = new OptimizerStep(this);
        next.averageDecay = decay;
        next.average = Objects.requireNonNull(average, "average");
        return next;
    }

    /** Writes the live weights after the update, rounded to nearest, into this too: BF16 of the weights' count. */
    public OptimizerStep copy(Memory bf16) {
        OptimizerStep next = new OptimizerStep(this);
        next.copy = Objects.requireNonNull(bf16, "bf16");
        return next;
    }

    /** U8, a bit an element: element i is live where bit {@code i % 8}, counted from the lowest, of byte {@code i / 8} is 1. */
    public OptimizerStep mask(Memory bits) {
        OptimizerStep next = new OptimizerStep(this);
        next.mask = Objects.requireNonNull(bits, "bits");
        return next;
    }

    /** Adds rows {@code begin} to {@code end - 1}, of {@code length} elements each, to what is live. Rows ascend from call to call. */
    public OptimizerStep rows(long length, long begin, long end) {
        if (length < 1 || begin < 0 || end <= begin) {
            throw new IllegalArgumentException("rows " + begin + " to " + end + " of " + length
                    + " elements: expected ascending rows of at least one element");
        }
        OptimizerStep next = new OptimizerStep(this);
        next.ranges = Arrays.copyOf(ranges, ranges.length + 2);
        next.ranges[ranges.length] = Math.multiplyExact(begin, length);
        next.ranges[ranges.length + 1] = Math.multiplyExact(end, length);
        return next;
    }

    /** Whether the norm of the gradient becomes known. */
    boolean clips() {
        return clip > 0;
    }

    void add(Operands o, Memory weight, Memory gradient, Memory norm) {
        o.writes("weight", Operands.needed("weight", weight), DType.F32);
        o.reads("gradient", Operands.needed("gradient", gradient), DType.F32);
        o.writes("first moment", first, DType.F32);
        o.writes("second moment", second, DType.F32);
        o.reads("anchor", anchor, DType.F32);
        o.reads("mask", mask, DType.U8);
        o.writes("norm", norm, DType.F32);
        o.writes("average", average, DType.F32);
        o.writes("copy", copy, DType.BF16);
    }

    int run(graft_device device, long stream, Operands o) {
        if (optimizer instanceof Optimizer.Sgd sgd) {
            return run(device, stream, o, Graft.GRAFT_SGD, sgd, 0, 0, 0);
        }
        Optimizer.Sgd none = new Optimizer.Sgd(0, false);
        if (optimizer instanceof Optimizer.Adam adam) {
            return run(device, stream, o, Graft.GRAFT_ADAM, none, adam.beta1(), adam.beta2(), adam.eps());
        }
        Optimizer.AdamW adamw = (Optimizer.AdamW) optimizer;
        return run(device, stream, o, Graft.GRAFT_ADAMW, none, adamw.beta1(), adamw.beta2(), adamw.eps());
    }

    private int run(graft_device device, long stream, Operands o, int kind, Optimizer.Sgd sgd, double beta1, double beta2, double eps) {
        return Graft.graft_optimizer_step(device, stream, kind, sgd.momentum(), sgd.nesterov() ? 1 : 0, beta1, beta2, eps, rate, decay,
                anchorStrength, clip, averageDecay, update, o.count(0), ranges, ranges.length / 2, o.address(0), o.count(0), o.address(1),
                o.count(1), o.address(2), o.count(2), o.address(3), o.count(3), o.address(4), o.count(4), o.address(5), o.count(5),
                o.address(6), o.count(6), o.address(7), o.count(7), o.address(8), o.count(8));
    }
}
