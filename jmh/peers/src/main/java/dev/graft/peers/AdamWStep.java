package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.randn;

import dev.graft.pairs.Step;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.AdamW;
import org.bytedeco.pytorch.AdamWOptions;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;

/** One AdamW update of 100 tensors of a million F32 elements. The preset maps no fused update: this is its optimizer. */
final class AdamWStep implements Step {
    private static final int TENSORS = 100;
    private static final int ELEMENTS = 1_000_000;

    private final AdamW optimizer;

    AdamWStep() {
        TensorVector parameters = new TensorVector();
        for (int i = 0; i < TENSORS; i++) {
            try (PointerScope scope = new PointerScope()) {
                Tensor parameter = randn(ELEMENTS).set_requires_grad(true);
                parameter.mutable_grad().put(randn(ELEMENTS));
                parameters.push_back(parameter);
            }
        }
        AdamWOptions options = new AdamWOptions(1e-3);
        options.weight_decay().put(0.01);
        optimizer = new AdamW(parameters, options);
    }

    @Override
    public double run() {
        try (PointerScope scope = new PointerScope()) {
            optimizer.step();
        }
        return 0;
    }
}
