package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.cross_entropy;
import static org.bytedeco.pytorch.global.torch.from_blob;

import dev.graft.pairs.Samples;
import dev.graft.pairs.Step;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.AdamW;
import org.bytedeco.pytorch.AdamWOptions;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;

/**
 * A training step of a vision transformer on one fixed batch: AdamW with rate 1e-4 and decay 0.01. Weights, pictures and labels
 * are those of Graft's side, so that in F32 the losses of both agree. Attention is PyTorch's operator in F32 and three in
 * bf16, the faster way of each.
 */
final class VisionStep implements Step {
    private static final int SIDE = 224;

    private final VisionTransformer net;
    private final AdamW optimizer;
    private final Tensor images;
    private final Tensor labels;
    private final boolean autocast;

    /** @param start file with the weights of all but the low-rank branches */
    VisionStep(VisionTransformer net, Path start, int batch, int classes, String precision, Map<String, String> settings) {
        this.net = net;
        autocast = precision.equals("bf16");
        StartWeights.load(start, net);
        FloatBuffer pixels = Samples.pixels(batch, SIDE);
        images = from_blob(new Pointer(pixels), batch, SIDE, SIDE, 3).permute(0, 3, 1, 2).contiguous();
        labels = Tensor.create(IntStream.range(0, batch).mapToLong(i -> Samples.label(i, classes)).toArray());
        TensorVector trainable = Trained.of(net);
        AdamWOptions options = new AdamWOptions(1e-4);
        options.weight_decay().put(0.01);
        optimizer = new AdamW(trainable, options);
        settings.put("parameters", String.valueOf(Trained.elements(net.parameters())));
        settings.put("trainable", String.valueOf(Trained.elements(trainable)));
    }

    @Override
    public double run() {
        try (PointerScope scope = new PointerScope()) {
            optimizer.zero_grad();
            Tensor loss = Autocast.around(autocast, () -> cross_entropy(net.forward(images), labels));
            loss.backward();
            optimizer.step();
            return loss.item_float();
        }
    }
}
