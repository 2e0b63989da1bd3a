package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.zeros;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Conv2dImpl;
import org.bytedeco.pytorch.Conv2dOptions;
import org.bytedeco.pytorch.LayerNormImpl;
import org.bytedeco.pytorch.LinearImpl;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.StringTensorDict;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;

/**
 * timm's vision transformer of 12 blocks on 224 x 224 images in patches of 16 x 16, by its parameter names; whole, or with a
 * low-rank branch of alpha = 2 rank beside each qkv, all else but the classifier frozen.
 */
final class VisionTransformer extends Module {
    private static final int DEPTH = 12;
    private static final int TOKENS = 1 + 14 * 14;

    private final Conv2dImpl patches;
    private final Tensor classToken;
    private final Tensor positions;
    private final List<TransformerBlock> blocks = new ArrayList<>();
    private final LayerNormImpl norm;
    private final LinearImpl head;

    /** @param rank rank of the branches, 0 to train the whole network */
    VisionTransformer(long width, long heads, long classes, long rank, boolean fusedAttention) {
        // copies of the handles: what registering returns is a place in a list that moves as it grows
        classToken = new Tensor(register_parameter("cls_token", zeros(1, 1, width)));
        positions = new Tensor(register_parameter("pos_embed", zeros(1, TOKENS, width)));
        Conv2dOptions options = new Conv2dOptions(3, width, new LongPointer(16, 16));
        options.stride().put(new long[] {16, 16});
        patches = register_module("patch_embed", new Module()).register_module("proj", new Conv2dImpl(options));
        Module list = register_module("blocks", new Module());
        for (int i = 0; i < DEPTH; i++) {
            blocks.add(list.register_module(String.valueOf(i), new TransformerBlock(width, heads, rank, fusedAttention)));
        }
        norm = register_module("norm", TransformerBlock.norm(width));
        head = register_module("head", new LinearImpl(width, classes));
        if (rank > 0) {
            freeze();
        }
    }

    /** Logits (N, classes) of images (N, 3, 224, 224). */
    Tensor forward(Tensor images) {
        Tensor x = patches.forward(images).flatten(2, -1).transpose(1, 2);
        x = cat(new TensorVector(classToken.expand(images.size(0), -1, -1), x), 1).add(positions);
        for (TransformerBlock block : blocks) {
            x = block.forward(x);
        }
        return head.forward(norm.forward(x).select(1, 0));
    }

    private void freeze() {
        StringTensorDict all = named_parameters();
        for (long i = 0; i < all.size(); i++) {
            String name = all.get(i).key().getString();
            if (!name.contains(".lora_") && !name.startsWith("head.")) {
                all.get(i).value().set_requires_grad(false);
            }
        }
    }
}
