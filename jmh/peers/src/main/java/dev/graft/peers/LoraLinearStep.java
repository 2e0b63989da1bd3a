package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.randn;

import dev.graft.pairs.Step;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Forward and backward of one linear layer with a low-rank branch on 4096 rows, for a given gradient of the result: gradients of
 * x, A and B. In bf16 x and the gradient come in bf16, as from a layer before and behind under autocast.
 */
final class LoraLinearStep implements Step {
    private static final int ROWS = 4096;
    private static final int WIDTH = 768;
    private static final int RANK = 8;

    private final LoraLinear layer = new LoraLinear(WIDTH, WIDTH, RANK, 16);
    private final TensorVector trained = Trained.of(layer);
    private final Tensor x;
    private final Tensor gradient;
    private final boolean autocast;

    LoraLinearStep(String precision, Map<String, String> settings) {
        autocast = precision.equals("bf16");
        ScalarType type = autocast ? ScalarType.BFloat16 : ScalarType.Float;
        x = randn(ROWS, WIDTH).to(type).set_requires_grad(true);
        gradient = randn(ROWS, WIDTH).to(type);
        settings.put("trainable", String.valueOf(Trained.elements(trained)));
    }

    @Override
    public double run() {
        try (PointerScope scope = new PointerScope()) {
            // an undefined gradient is overwritten; a defined one would be added to
            x.mutable_grad().put(new Tensor());
            for (long i = 0; i < trained.size(); i++) {
                trained.get(i).mutable_grad().put(new Tensor());
            }
            Tensor y = Autocast.around(autocast, () -> layer.forward(x));
            y.backward(gradient, new BoolOptional(), false, new TensorArrayRefOptional());
        }
        return 0;
    }
}
