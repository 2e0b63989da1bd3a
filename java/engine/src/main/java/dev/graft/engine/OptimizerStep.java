package dev.graft.engine;

import java.util.Arrays;
import java.util.Objects;

/**
 * One update of weights by their gradient, formulas as in torch.optim 2.x; see {@link Optimizer}. Elements that a mask or the
 * row ranges leave out keep weight and moments. Immutable: each method returns a changed copy, which can be kept and used by
 * any number of threads. Numbers are checked by the call.
 */
public final class OptimizerStep {
    static final long[] ALL = {};

    final Optimizer optimizer;
    double rate;
    double decay;
    double anchorStrength;
    double clip;
    long update = 1;
    long[] ranges = ALL;
    Memory first;
    Memory second;
    Memory anchor;
    Memory mask;

    private OptimizerStep(Optimizer optimizer) {
        this.optimizer = Objects.requireNonNull(optimizer, "optimizer");
    }

    private OptimizerStep(OptimizerStep other) {
        this(other.optimizer);
        rate = other.rate;
        decay = other.decay;
        anchorStrength = other.anchorStrength;
        clip = other.clip;
        update = other.update;
        ranges = other.ranges;
        first = other.first;
        second = other.second;
        anchor = other.anchor;
        mask = other.mask;
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
}
