package dev.graft.engine;

import dev.graft.engine.binding.graft_device;
import java.util.concurrent.ConcurrentLinkedDeque;

/** Calls of direct kernels, with the operands that they reuse. Safe for any number of threads. */
final class DirectCalls {
    private final Device device;
    private final boolean host;
    private final ConcurrentLinkedDeque<Operands> idle = new ConcurrentLinkedDeque<>();

    /** {@code host}: operands are memory of the host, else of a GPU. */
    DirectCalls(Device device, boolean host) {
        this.device = device;
        this.host = host;
    }

    interface Adding {
        void to(Operands operands);
    }

    /** One native call; the operands have been added. */
    interface Call {
        int run(graft_device device, Operands operands);
    }

    void run(Adding adding, Call call) {
        device.handle.enter();
        try {
            Operands operands = idle.pollFirst();
            if (operands == null) {
                operands = new Operands(host);
            }
            try {
                adding.to(operands);
                operands.copyIn();
                Status.check(call.run(device.pointer, operands));
                operands.copyOut();
            } finally {
                operands.clear();
                idle.addFirst(operands);
            }
        } finally {
            device.handle.exit();
        }
    }
}
