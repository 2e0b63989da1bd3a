package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.gelu;
import static org.bytedeco.pytorch.global.torch.matmul;
import static org.bytedeco.pytorch.global.torch.scaled_dot_product_attention;
import static org.bytedeco.pytorch.global.torch.softmax;

import org.bytedeco.pytorch.LayerNormImpl;
import org.bytedeco.pytorch.LayerNormOptions;
import org.bytedeco.pytorch.LinearImpl;
import org.bytedeco.pytorch.LongVector;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/** A pre-norm transformer block with timm's parameter names: attention and a two-layer perceptron, each added to its input. */
final class TransformerBlock extends Module {
    private final LayerNormImpl norm1;
    private final LayerNormImpl norm2;
    private final LinearImpl qkv;
    private final LoraLinear adaptedQkv;
    private final LinearImpl proj;
    private final LinearImpl fc1;
    private final LinearImpl fc2;
    private final long width;
    private final long heads;
    private final boolean fused;

    /**
     * @param rank rank of the branch beside qkv, 0 for none
     * @param fused whether attention is PyTorch's one operator, or product, softmax and product
     */
    TransformerBlock(long width, long heads, long rank, boolean fused) {
        this.width = width;
        this.heads = heads;
        this.fused = fused;
        norm1 = register_module("norm1", norm(width));
        Module attention = register_module("attn", new Module());
        qkv = rank > 0 ? null : attention.register_module("qkv", new LinearImpl(width, 3 * width));
        adaptedQkv = rank > 0 ? attention.register_module("qkv", new LoraLinear(width, 3 * width, rank, 2 * rank)) : null;
        proj = attention.register_module("proj", new LinearImpl(width, width));
        norm2 = register_module("norm2", norm(width));
        Module perceptron = register_module("mlp", new Module());
        fc1 = perceptron.register_module("fc1", new LinearImpl(width, 4 * width));
        fc2 = perceptron.register_module("fc2", new LinearImpl(4 * width, width));
    }

    /** Tokens (N, T, width) to tokens. */
    Tensor forward(Tensor x) {
        Tensor y = x.add(proj.forward(attention(norm1.forward(x))));
        return y.add(fc2.forward(gelu(fc1.forward(norm2.forward(y)))));
    }

    private Tensor attention(Tensor x) {
        long rows = x.size(0);
        long tokens = x.size(1);
        Tensor packed = (qkv == null ? adaptedQkv.forward(x) : qkv.forward(x)).reshape(rows, tokens, 3, heads, width / heads);
        Tensor parts = packed.permute(2, 0, 3, 1, 4);
        Tensor q = parts.select(0, 0);
        Tensor k = parts.select(0, 1);
        Tensor v = parts.select(0, 2);
        Tensor mixed;
        if (fused) {
            mixed = scaled_dot_product_attention(q, k, v);
        } else {
            Scalar scale = new Scalar(1 / Math.sqrt((double) width / heads));
            mixed = matmul(softmax(matmul(q.mul(scale), k.transpose(-2, -1)), -1), v);
        }
        return mixed.transpose(1, 2).reshape(rows, tokens, width);
    }

    static LayerNormImpl norm(long width) {
        LayerNormOptions options = new LayerNormOptions(new LongVector(new long[] {width}));
        options.eps().put(1e-6);
        return new LayerNormImpl(options);
    }
}
