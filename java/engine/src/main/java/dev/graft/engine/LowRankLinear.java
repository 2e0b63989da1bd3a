package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_device;
import java.util.Objects;

/**
 * A linear layer with a low-rank update of its weight inside it (LoRA: Hu et al. 2021), row-major:
 * {@code y = x W' + bias + factor * (x a') b'}. x is [rows, in], W [out, in], a [rank, in], b [out, rank], y [rows, out]; W is
 * frozen and has no gradient. x, W, a, b, y and the gradients of x and y are all F32 or all BF16, everything else is F32.
 * Immutable: each method returns a changed copy, which can be kept and used by any number of threads. Sizes are checked by the
 * call.
 *
 * <p>With {@link #slices} the update covers runs of columns of y, each with a pair of its own, as of the q and v in a fused qkv:
 * a is [slices * rank, in], b [slices * width, rank]. With {@link #adapters} the rows of one batch belong to several
 * adapters: a and b have the adapter's axis first.
 */
public final class LowRankLinear {
    private final long rows;
    private final long in;
    private final long out;
    private final long rank;
    private final double factor;
    private long width;
    private long[] starts = {0};
    private long adapters;
    private long samples;
    private boolean accumulate;
    private Memory bias;
    private Memory adapter;
    private Memory scales;

    private LowRankLinear(long rows, long in, long out, long rank, double factor) {
        this.rows = rows;
        this.in = in;
        this.out = out;
        this.rank = rank;
        this.factor = factor;
        this.width = out;
    }

    private LowRankLinear(LowRankLinear other) {
        this(other.rows, other.in, other.out, other.rank, other.factor);
        width = other.width;
        starts = other.starts;
        adapters = other.adapters;
        samples = other.samples;
        accumulate = other.accumulate;
        bias = other.bias;
        adapter = other.adapter;
        scales = other.scales;
    }

    /**
     * One update over all columns.
     *
     * @param rows of x and y; merging does not look at them
     * @param in features of x
     * @param out features of y
     * @param rank of the update
     * @param factor alpha / rank, or alpha / sqrt(rank)
     */
    public static LowRankLinear of(long rows, long in, long out, long rank, double factor) {
        return new LowRankLinear(rows, in, out, rank, factor);
    }

    /** Adds F32 [out] to every row of y. */
    public LowRankLinear bias(Memory bias) {
        LowRankLinear next = new LowRankLinear(this);
        next.bias = Objects.requireNonNull(bias, "bias");
        return next;
    }

    /** The update covers {@code width} columns from each of these on: 1 to 8, ascending, without overlap. */
    public LowRankLinear slices(long width, long... starts) {
        LowRankLinear next = new LowRankLinear(this);
        next.width = width;
        next.starts = starts.clone();
        return next;
    }

    /**
     * The rows belong to several adapters.
     *
     * @param adapters how many; the first axis of a and b
     * @param adapter I32: for each of as many equal parts of the rows as it has elements the number of its adapter, -1 = none
     */
    public LowRankLinear adapters(long adapters, Memory adapter) {
        LowRankLinear next = new LowRankLinear(this);
        next.adapters = adapters;
        next.adapter = Objects.requireNonNull(adapter, "adapter");
        next.samples = adapter.count();
        return next;
    }

    /** F32 [adapters]: multiplies the factor, for each adapter. */
    public LowRankLinear scales(Memory scales) {
        LowRankLinear next = new LowRankLinear(this);
        next.scales = Objects.requireNonNull(scales, "scales");
        return next;
    }

    /** Gradients of a and b are added to what stands there. */
    public LowRankLinear accumulate() {
        LowRankLinear next = new LowRankLinear(this);
        next.accumulate = true;
        return next;
    }

    /** What forward passes write beside y: rows * slices * rank elements. */
    public long sums() {
        return rows * starts.length * rank;
    }

    void addForward(Operands o, Memory x, Memory weight, Memory a, Memory b, Memory y, Memory t) {
        o.reads("x", Operands.needed("x", x), DType.F32, DType.BF16);
        o.reads("weight", Operands.needed("weight", weight), x.dtype());
        o.reads("bias", bias, DType.F32);
        o.reads("a", Operands.needed("a", a), x.dtype());
        o.reads("b", Operands.needed("b", b), x.dtype());
        o.reads("adapter", adapter, DType.I32);
        o.reads("scales", scales, DType.F32);
        o.writes("y", Operands.needed("y", y), x.dtype());
        o.writes("t", Operands.needed("t", t), DType.F32);
    }

    int forward(graft_device device, long stream, Operands o, DType type) {
        return Graft.graft_low_rank_forward(device, stream, type.code, rows, in, out, rank, factor, starts.length, width, starts, adapters, samples,
                o.address(0), o.count(0), o.address(1), o.count(1), o.address(2), o.count(2), o.address(3), o.count(3),
                o.address(4), o.count(4), o.address(5), o.count(5), o.address(6), o.count(6), o.address(7), o.count(7),
                o.address(8), o.count(8));
    }

    void addBackward(Operands o, Memory x, Memory weight, Memory a, Memory b, Memory t, Memory dy, Gradients gradients) {
        DType type = Operands.needed("dy", dy).dtype();
        o.reads("x", x, type);
        o.reads("weight", weight, type);
        o.reads("a", a, type);
        o.reads("b", b, type);
        o.reads("adapter", adapter, DType.I32);
        o.reads("scales", scales, DType.F32);
        o.reads("t", t, DType.F32);
        o.reads("dy", dy, DType.F32, DType.BF16);
        o.writes("dx", gradients.dx, type);
        o.writes("da", gradients.da, DType.F32);
        o.writes("db", gradients.db, DType.F32);
    }

    int backward(graft_device device, long stream, Operands o, DType type) {
        return Graft.graft_low_rank_backward(device, stream, type.code, rows, in, out, rank, factor, starts.length, width, starts, adapters, samples,
                accumulate ? 1 : 0, o.address(0), o.count(0), o.address(1), o.count(1), o.address(2), o.count(2), o.address(3),
                o.count(3), o.address(4), o.count(4), o.address(5), o.count(5), o.address(6), o.count(6), o.address(7), o.count(7),
                o.address(8), o.count(8), o.address(9), o.count(9), o.address(10), o.count(10));
    }

    void addMerge(Operands o, Memory weight, Memory a, Memory b) {
        if (adapters > 0) {
            throw new IllegalArgumentException("one update is merged into a weight, not " + adapters + " adapters");
        }
        o.writes("weight", Operands.needed("weight", weight), DType.F32, DType.BF16);
        o.reads("a", Operands.needed("a", a), weight.dtype());
        o.reads("b", Operands.needed("b", b), weight.dtype());
    }

    /** {@code sign} 1 merges, -1 takes off. */
    int merge(graft_device device, long stream, Operands o, DType type, int sign) {
        return Graft.graft_low_rank_merge(device, stream, type.code, out, in, rank, sign * factor, starts.length, width, starts,
                o.address(0), o.count(0), o.address(1), o.count(1), o.address(2), o.count(2));
    }

    /**
     * Where gradients go; null = it is not wanted, and nothing is computed for it.
     *
     * @param dx [rows, in], of x's type, overwritten
     * @param da F32, as a
     * @param db F32, as b
     */
    public record Gradients(Memory dx, Memory da, Memory db) {}
}
