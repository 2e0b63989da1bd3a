package dev.graft.model;

import dev.graft.engine.Conv2d;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Pool2d;
import dev.graft.engine.Value;
import dev.graft.weights.Card;
import dev.graft.weights.ChannelOrder;
import dev.graft.weights.Interpolation;
import java.util.List;
import java.util.stream.Stream;

/**
 * Residual networks for 32x32 pictures (He et al. 2016, section 4.2) of 6n + 2 layers with parameter-free shortcuts ("option
 * A"): where the shape changes the shortcut takes every second pixel and pads channels of zeros on both sides. Names and
 * starting distributions are those of github.com/akamaster/pytorch_resnet_cifar10.
 */
final class CifarResNet {
    private static final double EPS = 1e-5;
    private static final double MOMENTUM = 0.1;
    private static final int SIZE = 32;

    private final NetworkBuilder net;

    private CifarResNet(NetworkBuilder net) {
        this.net = net;
    }

    static List<Architecture> architectures() {
        return Stream.of(3, 5, 7, 9, 18).map(CifarResNet::architecture).toList();
    }

    private static Architecture architecture(int n) {
        String name = "cifar_resnet" + (6 * n + 2);
        Card card = new Card(SIZE, SIZE, new float[] {.485f, .456f, .406f}, new float[] {.229f, .224f, .225f},
                Interpolation.BILINEAR, ChannelOrder.RGB, "default of " + name);
        return new Architecture(name, SIZE, 10, card, options ->
                new CifarResNet(new NetworkBuilder(name, options)).build(n));
    }

    private Network build(int n) {
        Value x = net.graph().relu("relu", conv("conv1", "bn1", net.stem(), 3, 16, 1));
        int in = 16;
        for (int stage = 0; stage < 3; stage++) {
            String layer = "layer" + (stage + 1);
            net.group(layer);
            int out = 16 << stage;
            for (int block = 0; block < n; block++) {
                x = block(layer + "." + block, x, in, out);
                in = out;
            }
        }
        x = net.graph().globalPool("avgpool", x, false, false);
        x = net.head(x, "dropout", 0);
        return net.build(net.linear("linear", x, in, net.classes(), Start.kaimingNormal(in), Start.torchDefault(in)));
    }

    private Value block(String name, Value x, int in, int out) {
        GraphBuilder graph = net.graph();
        String at = name + ".";
        Value y = graph.relu(at + "relu1", conv(at + "conv1", at + "bn1", x, in, out, in == out ? 1 : 2));
        y = conv(at + "conv2", at + "bn2", y, out, out, 1);
        return graph.relu(at + "relu", graph.add(at + "add", y, in == out ? x : shortcut(at, x, out - in)));
    }

    /** Every second row and column of x [N, H, W, C] (windows of one pixel), {@code more} zero channels, half on each side. */
    private Value shortcut(String at, Value x, int more) {
        GraphBuilder graph = net.graph();
        x = graph.avgPool(at + "shortcut.pixels", x, Pool2d.of(1).stride(2));
        return graph.pad(at + "shortcut.channels", x, 3, more / 2, more / 2);
    }

    /** 3x3 convolution without bias, then batch norm. */
    private Value conv(String conv, String norm, Value x, int in, int out, int stride) {
        x = net.conv(conv, x, in, out, 3, Conv2d.DEFAULT.stride(stride).pad(1), Start.kaimingNormal(9.0 * in), null);
        return net.norm(norm, x, out, EPS, MOMENTUM);
    }
}
