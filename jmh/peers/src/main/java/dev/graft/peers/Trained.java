package dev.graft.peers;

import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.TensorVector;

/** The parameters of a module that want a gradient. */
final class Trained {
    private Trained() {}

    static TensorVector of(Module module) {
        TensorVector all = module.parameters();
        TensorVector wanted = new TensorVector();
        for (long i = 0; i < all.size(); i++) {
            if (all.get(i).requires_grad()) {
                wanted.push_back(all.get(i));
            }
        }
        return wanted;
    }

    static long elements(TensorVector tensors) {
        long sum = 0;
        for (long i = 0; i < tensors.size(); i++) {
            sum += tensors.get(i).numel();
        }
        return sum;
    }
}
