package dev.graft.model;

import dev.graft.engine.Conv2d;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Value;
import dev.graft.weights.Card;
import dev.graft.weights.ChannelOrder;
import dev.graft.weights.Interpolation;
import java.util.ArrayList;
import java.util.List;

/**
 * Vision transformers (Dosovitskiy et al. 2021, <i>An image is worth 16x16 words</i>; Touvron et al. 2021 for DeiT) with the
 * parameter names of timm's {@code VisionTransformer}. The head reads the class token or, in the variants whose name ends in
 * {@value #MEAN}, the mean of the patches (timm's {@code global_pool='avg'}, with {@code fc_norm} in place of {@code norm}).
 *
 * <p>Where the class token alone is read, the last block's work behind its attention is done for the class token alone: the
 * other tokens' results would go nowhere.
 */
final class VisionTransformer {
    /** Ends the names of the variants that average the patches. */
    static final String MEAN = ":avg";

    private static final double EPS = 1e-6;
    private static final int MLP_RATIO = 4;
    private static final float[] HALF = {.5f, .5f, .5f};
    private static final Start WEIGHT = new Start.Normal(.02);
    private static final Start CLASS_TOKEN = new Start.Normal(1e-6);

    private final NetworkBuilder net;
    private final Form form;

    /** Sizes of a member. */
    private record Form(int patch, int width, int depth, int heads, boolean mean) {
        Form averaged() {
            return new Form(patch, width, depth, heads, true);
        }
    }

    private VisionTransformer(NetworkBuilder net, Form form) {
        this.net = net;
        this.form = form;
    }

    static List<Architecture> architectures() {
        Form tiny = new Form(16, 192, 12, 3, false);
        Form small = new Form(16, 384, 12, 6, false);
        Form base = new Form(16, 768, 12, 12, false);
        Form large = new Form(16, 1024, 24, 16, false);
        Card augReg = new Card(248, 224, HALF, HALF, Interpolation.BICUBIC, ChannelOrder.RGB, "");
        Card imageNet = Card.imageNet("");
        Card deit = new Card(248, 224, imageNet.mean(), imageNet.std(), Interpolation.BICUBIC, ChannelOrder.RGB, "");
        Card cifar = new Card(32, 32, HALF, HALF, Interpolation.BICUBIC, ChannelOrder.RGB, "");
        List<Architecture> all = new ArrayList<>();
        add(all, "vit_tiny_patch16_224", tiny, augReg, 1000);
        add(all, "vit_small_patch16_224", small, augReg, 1000);
        add(all, "vit_base_patch16_224", base, augReg, 1000);
        add(all, "vit_large_patch16_224", large, augReg, 1000);
        add(all, "deit_tiny_patch16_224", tiny, deit, 1000);
        add(all, "deit_small_patch16_224", small, deit, 1000);
        add(all, "deit_base_patch16_224", base, deit, 1000);
        add(all, "vit_cifar", new Form(4, 192, 6, 3, false), cifar, 10);
        return all;
    }

    private static void add(List<Architecture> all, String name, Form form, Card card, int classes) {
        all.add(architecture(name, form, card, classes));
        all.add(architecture(name + MEAN, form.averaged(), card, classes));
    }

    private static Architecture architecture(String name, Form form, Card card, int classes) {
        Card own = new Card(card.resize(), card.crop(), card.mean(), card.std(), card.interpolation(), card.channels(), "default of " + name);
        return new Architecture(name, card.crop(), classes, own, options ->
                new VisionTransformer(new NetworkBuilder(name, options), form).build(name));
    }

    private Network build(String name) {
        int side = net.imageSize() / form.patch;
        if (side * form.patch != net.imageSize()) {
            throw new IllegalArgumentException(name + " cuts pictures into patches of " + form.patch + " pixels: the image size must be a multiple, got "
                    + net.imageSize());
        }
        GraphBuilder graph = net.graph();
        Start fan = Start.torchDefault(3.0 * form.patch * form.patch);
        Value x = net.conv("patch_embed.proj", net.stem(), 3, form.width, form.patch, Conv2d.DEFAULT.stride(form.patch), fan, fan);
        x = graph.reshape("patch_embed.flatten", x, 0, (long) side * side, form.width);
        x = net.embedTokens("embed", x, "cls_token", CLASS_TOKEN, "pos_embed", WEIGHT, side, form.width);
        for (int block = 0; block < form.depth; block++) {
            net.group("blocks." + block);
            x = block("blocks." + block + ".", x, (double) block / Math.max(1, form.depth - 1), block == form.depth - 1 && !form.mean);
        }
        net.group("norm");
        if (form.mean) {
            x = graph.slice("patches", x, 1, 1, 1 + (long) side * side, 1);
            x = graph.globalPool("pool", graph.reshape("grid", x, 0, side, side, form.width), false, false);
            x = net.layerNorm("fc_norm", x, form.width, EPS);
        } else {
            x = net.layerNorm("norm", graph.reshape("pool", x, 0, form.width), form.width, EPS);
        }
        x = net.head(x, "head_drop", 0);
        return net.build(net.linear("head", x, form.width, net.classes(), WEIGHT, NetworkBuilder.ZERO));
    }

    /** x [N, T, width] + attention, + MLP, both of the normed; with {@code firstOnly} of the first token alone. */
    private Value block(String at, Value x, double dropShare, boolean firstOnly) {
        GraphBuilder graph = net.graph();
        int width = form.width;
        Value y = net.layerNorm(at + "norm1", x, width, EPS);
        y = linear(at + "attn.qkv", y, width, 3 * width);
        y = graph.selfAttention(at + "attn", y, form.heads);
        if (firstOnly) {
            y = graph.slice(at + "attn.first", y, 1, 0, 1, 1);
            x = graph.slice(at + "first", x, 1, 0, 1, 1);
        }
        y = linear(at + "attn.proj", y, width, width);
        x = graph.add(at + "add1", x, net.dropPath(at + "drop_path1", y, dropShare));
        y = net.layerNorm(at + "norm2", x, width, EPS);
        y = graph.gelu(at + "mlp.act", linear(at + "mlp.fc1", y, width, MLP_RATIO * width), false);
        y = linear(at + "mlp.fc2", y, MLP_RATIO * width, width);
        return graph.add(at + "add2", x, net.dropPath(at + "drop_path2", y, dropShare));
    }

    private Value linear(String module, Value x, int in, int out) {
        return net.linear(module, x, in, out, WEIGHT, NetworkBuilder.ZERO);
    }
}
