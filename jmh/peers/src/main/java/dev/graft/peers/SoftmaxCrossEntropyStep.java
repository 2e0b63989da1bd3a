package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.cross_entropy;
import static org.bytedeco.pytorch.global.torch.randn;

import dev.graft.pairs.Step;
import java.util.stream.LongStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/** Mean cross-entropy of logits (4096, 32000) and the gradient of the logits, through autograd. */
final class SoftmaxCrossEntropyStep implements Step {
    private static final int ROWS = 4096;
    private static final int CLASSES = 32000;

    private final Tensor logits = randn(ROWS, CLASSES).set_requires_grad(true);
    private final Tensor labels =
            Tensor.create(LongStream.range(0, ROWS).map(i -> i * 7919 % CLASSES).toArray());

    @Override
    public double run() {
        try (PointerScope scope = new PointerScope()) {
            // an undefined gradient is overwritten; a defined one would be added to
            logits.mutable_grad().put(new Tensor());
            Tensor loss = cross_entropy(logits, labels);
            loss.backward();
            return loss.item_float();
        }
    }
}
