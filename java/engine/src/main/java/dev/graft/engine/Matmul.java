package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_device;
import java.util.Objects;

/**
 * A product of matrices and what is done as it is stored:
 * {@code c = activation(factor * op(a) op(b) + bias + residual (+ c))}, for a number of matrices. op(a) is [m, k], op(b) [k, n],
 * c [m, n], all row-major; sums are F32. Immutable: each method returns a changed copy, which can be kept and used by any
 * number of threads. Sizes are checked by the call.
 */
public final class Matmul {
    private final long m;
    private final long n;
    private final long k;
    private int flags;
    private Activation activation = Activation.NONE;
    private double factor = 1;
    private long batch = 1;
    private Memory bias;
    private Memory residual;
    private long rowA;
    private long rowB;
    private long rowC;
    private long stepA = -1;
    private long stepB = -1;
    private long stepC = -1;

    private Matmul(long m, long n, long k) {
        this.m = m;
        this.n = n;
        this.k = k;
    }

    private Matmul(Matmul other) {
        this(other.m, other.n, other.k);
        flags = other.flags;
        activation = other.activation;
        factor = other.factor;
        batch = other.batch;
        bias = other.bias;
        residual = other.residual;
        rowA = other.rowA;
        rowB = other.rowB;
        rowC = other.rowC;
        stepA = other.stepA;
        stepB = other.stepB;
        stepC = other.stepC;
    }

    /** c [m, n] = a [m, k] b [k, n]. */
    public static Matmul of(long m, long n, long k) {
        return new Matmul(m, n, k);
    }

    /** a lies transposed, as [k, m]. */
    public Matmul transposeA() {
        Matmul next = new Matmul(this);
        next.flags |= Graft.GRAFT_TRANSPOSE_A;
        return next;
    }

    /** b lies transposed, as [n, k]: how a linear layer's weight [out, in] lies. */
    public Matmul transposeB() {
        Matmul next = new Matmul(this);
        next.flags |= Graft.GRAFT_TRANSPOSE_B;
        return next;
    }

    /** What c holds is added before the activation. */
    public Matmul accumulate() {
        Matmul next = new Matmul(this);
        next.flags |= Graft.GRAFT_ACCUMULATE;
        return next;
    }

    /** The product is multiplied by this, before anything is added. Another factor costs no preparation. */
    public Matmul factor(double factor) {
        Matmul next = new Matmul(this);
        next.factor = factor;
        return next;
    }

    /** Adds F32 [n] to every row. */
    public Matmul bias(Memory bias) {
        Matmul next = new Matmul(this);
        next.bias = Objects.requireNonNull(bias, "bias");
        return next;
    }

    /** Adds a tensor of c's type that lies as c does, before the activation; it may be c itself. */
    public Matmul residual(Memory residual) {
        Matmul next = new Matmul(this);
        next.residual = Objects.requireNonNull(residual, "residual");
        return next;
    }

    /** Applied last. */
    public Matmul activation(Activation activation) {
        Matmul next = new Matmul(this);
        next.activation = Objects.requireNonNull(activation, "activation");
        return next;
    }

    /** Elements from row to row of a, b and c as they lie, where rows are parts of longer ones; 0 = no gap. */
    public Matmul rows(long a, long b, long c) {
        Matmul next = new Matmul(this);
        next.rowA = a;
        next.rowB = b;
        next.rowC = c;
        return next;
    }

    /** This many products of matrices that lie one behind the other. */
    public Matmul batch(long count) {
        Matmul next = new Matmul(this);
        next.batch = count;
        next.stepA = -1;
        next.stepB = -1;
        next.stepC = -1;
        return next;
    }

    /**
     * This many products.
     *
     * @param stepA elements from one a to the next; 0 = one a for all
     * @param stepB elements from one b to the next; 0 = one b for all
     * @param stepC elements from one c to the next: at least a whole c, or n where they are columns of the same rows
     */
    public Matmul batch(long count, long stepA, long stepB, long stepC) {
        Matmul next = batch(count);
        if (stepA < 0 || stepB < 0 || stepC < 0) {
            throw new IllegalArgumentException(
                    "steps must be at least 0, got " + stepA + ", " + stepB + " and " + stepC);
        }
        next.stepA = stepA;
        next.stepB = stepB;
        next.stepC = stepC;
        return next;
    }

    private boolean transposed(int flag) {
        return (flags & flag) != 0;
    }

    void add(Operands o, Memory a, Memory b, Memory c) {
        o.reads("a", Operands.needed("a", a), DType.F32, DType.BF16);
        o.reads("b", Operands.needed("b", b), DType.F32, DType.BF16);
        o.writes("c", Operands.needed("c", c), DType.F32, DType.BF16);
        o.reads("bias", bias, DType.F32);
        o.reads("residual", residual, c.dtype());
    }

    int run(graft_device device, long stream, Operands o, DType type, DType result) {
        return Graft.graft_matmul(device, stream, flags, activation.code, factor, batch, m, n, k, type.code, result.code,
                o.address(0), o.count(0), rowA(), stepA(), o.address(1), o.count(1), rowB(), stepB(),
                o.address(2), o.count(2), rowC(), stepC(), o.address(3), o.count(3), o.address(4), o.count(4));
    }

    private long rowA() {
        return rowA != 0 ? rowA : transposed(Graft.GRAFT_TRANSPOSE_A) ? m : k;
    }

    private long rowB() {
        return rowB != 0 ? rowB : transposed(Graft.GRAFT_TRANSPOSE_B) ? k : n;
    }

    private long rowC() {
        return rowC != 0 ? rowC : n;
    }

    private long stepA() {
        return stepA >= 0 ? stepA : step(rowA(), transposed(Graft.GRAFT_TRANSPOSE_A) ? k : m);
    }

    private long stepB() {
        return stepB >= 0 ? stepB : step(rowB(), transposed(Graft.GRAFT_TRANSPOSE_B) ? n : k);
    }

    private long stepC() {
        return stepC >= 0 ? stepC : step(rowC(), m);
    }

    /** What overflows is refused natively as too large. */
    private static long step(long row, long rows) {
        long high = Math.multiplyHigh(row, rows);
        return high == 0 && row * rows >= 0 ? row * rows : Long.MAX_VALUE;
    }
}
