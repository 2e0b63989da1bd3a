package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.cross_entropy;
import static org.bytedeco.pytorch.global.torch.randn;

import dev.graft.pairs.Step;
import java.util.Map;
import java.util.stream.LongStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.SGD;
import org.bytedeco.pytorch.SGDOptions;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.MemoryFormat;

/**
 * A training step of ResNet-18 on one fixed batch of 32 images: SGD with momentum 0.9. The rate, 0.002, is small enough
 * for the frozen variants, whose features have not been normalized, to take a falling loss from it.
 */
final class ResNetStep implements Step {
    private static final int BATCH = 32;
    private static final double RATE = 0.002;

    private final ResNet18 net;
    private final SGD optimizer;
    private final Tensor images;
    private final Tensor labels;
    private final boolean autocast;

    ResNetStep(int frozenBlocks, boolean tuned, String precision, Map<String, String> settings) {
        MemoryFormat format = tuned ? MemoryFormat.ChannelsLast : MemoryFormat.Contiguous;
        autocast = precision.equals("bf16");
        net = new ResNet18(frozenBlocks, format);
        images = randn(BATCH, 3, 224, 224).contiguous(format);
        labels = Tensor.create(LongStream.range(0, BATCH).map(i -> i * 31 % 1000).toArray());
        TensorVector trainable = Trained.of(net);
        SGDOptions options = new SGDOptions(RATE);
        options.momentum().put(0.9);
        optimizer = new SGD(trainable, options);
        settings.put("parameters", String.valueOf(Trained.elements(net.parameters())));
        settings.put("trainable", String.valueOf(Trained.elements(trainable)));
        settings.put("format", tuned ? "channels_last" : "contiguous");
    }

    @Override
    public double run() {
        // without a scope each step's tensors wait for the garbage collector
        try (PointerScope scope = new PointerScope()) {
            optimizer.zero_grad();
            Tensor loss = Autocast.around(autocast, () -> cross_entropy(net.forward(images), labels));
            loss.backward();
            optimizer.step();
            return loss.item_float();
        }
    }
}
