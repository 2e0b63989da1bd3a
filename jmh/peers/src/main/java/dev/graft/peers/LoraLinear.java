package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.zeros;

import org.bytedeco.pytorch.LinearImpl;
import org.bytedeco.pytorch.LinearOptions;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * A linear layer with a low-rank branch, {@code y = x W' + bias + alpha / r (x A') B'}, its W and bias frozen: what PEFT makes of a
 * linear layer, the two sums written over the first product. Parameters {@code weight}, {@code bias}, {@code lora_A.weight},
 * {@code lora_B.weight}.
 */
final class LoraLinear extends Module {
    private final Tensor weight;
    private final Tensor bias;
    private final LinearImpl a;
    private final LinearImpl b;
    private final Scalar factor;

    LoraLinear(long in, long out, long rank, double alpha) {
        LinearImpl base = new LinearImpl(in, out);
        // copies of the handles: what registering returns is a place in a list that moves as it grows
        weight = new Tensor(register_parameter("weight", base.weight(), false));
        bias = new Tensor(register_parameter("bias", base.bias(), false));
        a = register_module("lora_A", withoutBias(in, rank));
        b = register_module("lora_B", withoutBias(rank, out));
        b.weight().set_data(zeros(out, rank));
        factor = new Scalar(alpha / rank);
    }

    Tensor forward(Tensor x) {
        return org.bytedeco.pytorch.global.torch.linear(x, weight, bias).add_(b.forward(a.forward(x)), factor);
    }

    private static LinearImpl withoutBias(long in, long out) {
        LinearOptions options = new LinearOptions(in, out);
        options.bias().put(false);
        return new LinearImpl(options);
    }
}
