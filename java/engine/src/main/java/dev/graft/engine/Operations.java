package dev.graft.engine;

import java.util.LinkedHashMap;
import java.util.Map;

/** The operations of a {@link GraphBuilder}: each adds one node under {@code name} and returns its result. */
public abstract sealed class Operations permits GraphBuilder {
    Operations() {}

    /** Any operation by its native name; the methods below are this with the attributes spelled out. */
    public abstract Value node(String op, String name, Map<String, Double> attributes, Value... inputs);

    /** x [..., K] times the transpose of weight [C, K], plus bias [C] or null. */
    public Value linear(String name, Value x, Value weight, Value bias) {
        return node("linear", name, Map.of(), x, weight, bias);
    }

    /** {@link #loraLinear(String, Value, Value, Value, Value, Value, LowRank)} with one update of all columns. */
    public Value loraLinear(String name, Value x, Value weight, Value bias, Value a, Value b, double factor) {
        return loraLinear(name, x, weight, bias, a, b, LowRank.of(factor));
    }

    /**
     * A linear layer with a low-rank update (LoRA, Hu et al. 2021) inside its product: x [..., K] times the transpose of
     * weight [C, K], plus bias [C] or null, and on each slice of the columns factor * (z aᵀ) bᵀ added. With weight frozen no
     * activation is kept for it.
     *
     * @param a [slices * rank, K], or [adapters, slices * rank, K] where the update has an adapter per sample
     * @param b [slices * width, rank], or [adapters, slices * width, rank]
     */
    public Value loraLinear(String name, Value x, Value weight, Value bias, Value a, Value b, LowRank update) {
        return node("lora_linear", name, update.attributes(), x, weight, bias, a, b, update.z(), update.adapter(),
                update.scales());
    }

    /** The product of a [..., M, K] and b [..., K, N] over the last two axes. */
    public Value matmul(String name, Value a, Value b) {
        return matmul(name, a, b, false, false, 1);
    }

    /** factor * a * b; an operand is transposed in its last two axes where asked. */
    public Value matmul(String name, Value a, Value b, boolean transposeA, boolean transposeB, double factor) {
        return node("matmul", name, numbers("transpose_a", bit(transposeA), "transpose_b", bit(transposeB), "factor", factor),
                a, b);
    }

    /** Convolution of x [N, H, W, C] with weight [K, kernelH, kernelW, C / groups], plus bias [K] or null. */
    public Value conv2d(String name, Value x, Value weight, Value bias, Conv2d attributes) {
        return node("conv2d", name, attributes.attributes(), x, weight, bias);
    }

    /**
     * Batch norm over all axes but the last. It normalises by the running statistics, except in training plans that track
     * them ({@link PlanOptions.Builder#track}); then running = (1 - momentum) * running + momentum * batch.
     */
    public Value batchNorm(String name, Value x, Value weight, Value bias, Value mean, Value variance, double eps,
            double momentum) {
        return node("batch_norm", name, numbers("eps", eps, "momentum", momentum), x, weight, bias, mean, variance);
    }

    /** Layer norm over the last axis, C long; weight and bias [C] or null. */
    public Value layerNorm(String name, Value x, Value weight, Value bias, double eps) {
        return node("layer_norm", name, numbers("eps", eps), x, weight, bias);
    }

    /** {@link #attention(String, Value, Value, Value, Value, int, boolean)} of every token to all. */
    public Value selfAttention(String name, Value qkv, int heads) {
        return selfAttention(name, qkv, null, heads, false);
    }

    /**
     * {@link #attention(String, Value, Value, Value, Value, int, boolean)} of tokens to each other: qkv [N, T, 3 * C] holds query,
     * key and value of a token side by side, each {@code heads} times the head size. The result is [N, T, C].
     */
    public Value selfAttention(String name, Value qkv, Value keys, int heads, boolean causal) {
        return attention(name, qkv, null, null, keys, heads, causal);
    }

    /**
     * Scaled dot-product attention: in each head the values' mean, weighted by softmax(query * key / sqrt(head size)). It keeps
     * no matrix of scores. Query [N, T, C], key and value [N, S, C], C being {@code heads} times the head size; the result is
     * [N, T, C]. A query that counts no key gets zeros, and no gradient flows from it.
     *
     * @param keys I32 [N], how many of the first keys of each sample count, or null: all
     * @param causal whether query i counts no key behind i
     */
    public Value attention(String name, Value query, Value key, Value value, Value keys, int heads, boolean causal) {
        return node("attention", name, numbers("heads", heads, "causal", bit(causal)), query, key, value, keys);
    }

    /** max(x, 0). */
    public Value relu(String name, Value x) {
        return node("relu", name, Map.of(), x);
    }

    /** min(max(x, 0), 6). */
    public Value relu6(String name, Value x) {
        return node("relu6", name, Map.of(), x);
    }

    /** x where positive, slope * x elsewhere. */
    public Value leakyRelu(String name, Value x, double slope) {
        return node("leaky_relu", name, numbers("slope", slope), x);
    }

    /** x times the normal distribution function of x; {@code tanh} takes the approximation by tanh. */
    public Value gelu(String name, Value x, boolean tanh) {
        return node("gelu", name, numbers("tanh", bit(tanh)), x);
    }

    /** x * sigmoid(x). */
    public Value silu(String name, Value x) {
        return node("silu", name, Map.of(), x);
    }

    /** 1 / (1 + exp(-x)). */
    public Value sigmoid(String name, Value x) {
        return node("sigmoid", name, Map.of(), x);
    }

    /** a + b; sizes of 1 and missing leading axes are broadcast. */
    public Value add(String name, Value a, Value b) {
        return node("add", name, Map.of(), a, b);
    }

    /** a * b element by element; sizes of 1 and missing leading axes are broadcast. */
    public Value multiply(String name, Value a, Value b) {
        return node("multiply", name, Map.of(), a, b);
    }

    /** factor * x + offset, from any element type. */
    public Value scale(String name, Value x, double factor, double offset) {
        return node("scale", name, numbers("factor", factor, "offset", offset), x);
    }

    /** Largest value of each window of x [N, H, W, C]; padding never wins. */
    public Value maxPool(String name, Value x, Pool2d window) {
        return node("max_pool", name, window.attributes(false), x);
    }

    /** Mean of each window of x [N, H, W, C]. */
    public Value avgPool(String name, Value x, Pool2d window) {
        return node("avg_pool", name, window.attributes(true), x);
    }

    /** Mean or largest value over H and W of x [N, H, W, C]: [N, C], or [N, 1, 1, C] with {@code keep}. */
    public Value globalPool(String name, Value x, boolean max, boolean keep) {
        return node("global_pool", name, numbers("max", bit(max), "keep", bit(keep)), x);
    }

    /** The same elements in other sizes; 0 keeps the size at that place and one -1 is inferred. */
    public Value reshape(String name, Value x, long... dims) {
        Map<String, Double> map = indexed("d", dims);
        map.put("rank", (double) dims.length);
        return node("reshape", name, map, x);
    }

    /** Axes in another order: axis i of the result is axis {@code axes[i]} of x. */
    public Value transpose(String name, Value x, long... axes) {
        return node("transpose", name, indexed("axis", axes), x);
    }

    /** Values one after the other along an axis. */
    public Value concat(String name, int axis, Value... values) {
        return node("concat", name, numbers("axis", axis), values);
    }

    /** Positions begin, begin + step, ... below end of an axis. */
    public Value slice(String name, Value x, int axis, long begin, long end, long step) {
        return node("slice", name, numbers("axis", axis, "begin", begin, "end", end, "step", step), x);
    }

    /** Zeros before and after along an axis. */
    public Value pad(String name, Value x, int axis, long before, long after) {
        return node("pad", name, numbers("axis", axis, "before", before, "after", after), x);
    }

    /** Zero with probability {@code rate}, else x / (1 - rate), in training plans; x itself in others. */
    public Value dropout(String name, Value x, double rate) {
        return node("dropout", name, numbers("rate", rate), x);
    }

    /**
     * Stochastic depth (Huang et al. 2016): in training plans a whole sample is zero with probability {@code rate}, else
     * x / (1 - rate); in others x itself.
     */
    public Value dropPath(String name, Value x, double rate) {
        return node("dropout", name, numbers("rate", rate, "per_sample", 1), x);
    }

    /**
     * Tokens that all samples share in front of their own, and the position embedding added: token [1, P, C] before
     * x [N, T, C], plus position [1, P + T, C], is [N, P + T, C].
     */
    public Value embedTokens(String name, Value x, Value token, Value position) {
        return node("embed_tokens", name, Map.of(), x, token, position);
    }

    /**
     * Pictures as bytes [N, H, W, C] (u8), cut out, mirrored and normalised to [N, height, width, C]: scale [C] times the byte, plus
     * offset [C]; outside a picture the byte is 0. {@code windows} [N, 3] (i32) holds top, left and whether to mirror (0 or 1) of each
     * picture; without it, null, a picture is taken from its first row and column. {@code windows} [M, 4] holds the number of a picture
     * before these: M of any number of pictures, which may be resident ({@link PlanOptions#resident}). Nothing has a gradient.
     */
    public Value normalizePictures(String name, Value pictures, Value scale, Value offset, Value windows, int height, int width) {
        return node("normalize_pictures", name, numbers("height", height, "width", width), pictures, scale, offset, windows);
    }

    /** Softmax over the last axis, or its logarithm. */
    public Value softmax(String name, Value x, boolean log) {
        return node("softmax", name, numbers("log", bit(log)), x);
    }

    /** {@link #softmaxCrossEntropy(String, Value, Value, Value, double, int)}, plain; rows of target -100 are ignored. */
    public Value softmaxCrossEntropy(String name, Value logits, Value target) {
        return softmaxCrossEntropy(name, logits, target, null, 0, -100);
    }

    /**
     * Mean over rows of the cross-entropy between softmax(logits [N, C]) and target: classes I32 [N], or F32 [N, C]
     * probabilities. The formulas for weights and smoothing are PyTorch's.
     *
     * @param classWeight [C] or null
     * @param labelSmoothing share that is spread over all classes
     * @param ignoreIndex rows with this class count nothing
     */
    public Value softmaxCrossEntropy(String name, Value logits, Value target, Value classWeight, double labelSmoothing,
            int ignoreIndex) {
        return node("softmax_cross_entropy", name,
                numbers("label_smoothing", labelSmoothing, "ignore_index", ignoreIndex), logits, target, classWeight);
    }

    /**
     * {@link #softmaxCrossEntropy(String, Value, Value, Value, double, int)} of logits x [..., K] times the transpose of weight
     * [C, K], plus bias [C] or null, which exist for some rows at a time only: for a C so large that the logits of all would be the
     * largest tensor of a step. Plans make this of a linear layer of 8192 classes or more that its loss alone reads.
     */
    public Value linearCrossEntropy(String name, Value x, Value weight, Value bias, Value target, Value classWeight, double labelSmoothing,
            int ignoreIndex) {
        return node("linear_cross_entropy", name,
                numbers("label_smoothing", labelSmoothing, "ignore_index", ignoreIndex), x, weight, bias, target, classWeight);
    }

    /** Mean of the binary cross-entropy between sigmoid(logits) and target, F32 of the same sizes. */
    public Value bceWithLogits(String name, Value logits, Value target) {
        return node("bce_with_logits", name, Map.of(), logits, target);
    }

    /** Mean of the squared difference to target, F32 of the same sizes. */
    public Value mse(String name, Value x, Value target) {
        return node("mse", name, Map.of(), x, target);
    }

    /** Mean of the absolute difference to target, F32 of the same sizes. */
    public Value mae(String name, Value x, Value target) {
        return node("mae", name, Map.of(), x, target);
    }

    private static double bit(boolean on) {
        return on ? 1 : 0;
    }

    private static Map<String, Double> indexed(String prefix, long... numbers) {
        Map<String, Double> map = new LinkedHashMap<>();
        for (int i = 0; i < numbers.length; i++) {
            map.put(prefix + i, (double) numbers[i]);
        }
        return map;
    }

    private static Map<String, Double> numbers(Object... pairs) {
        Map<String, Double> map = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            map.put((String) pairs[i], ((Number) pairs[i + 1]).doubleValue());
        }
        return map;
    }
}
