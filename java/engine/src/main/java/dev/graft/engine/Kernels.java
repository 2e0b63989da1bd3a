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
}
