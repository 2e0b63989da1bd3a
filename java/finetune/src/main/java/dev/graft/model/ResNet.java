package dev.graft.model;

import dev.graft.engine.Conv2d;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Pool2d;
import dev.graft.engine.Value;
import dev.graft.weights.Card;
import java.util.List;

/**
 * Residual networks for ImageNet (He et al. 2016, <i>Deep residual learning for image recognition</i>) as torchvision
 * defines them: in bottlenecks the 3x3 convolution has the stride.
 */
final class ResNet {
    private static final double EPS = 1e-5;
    private static final double MOMENTUM = 0.1;
    private static final int EXPANSION = 4;

    private final NetworkBuilder net;
    private final boolean bottleneck;

    private ResNet(NetworkBuilder net, boolean bottleneck) {
        this.net = net;
        this.bottleneck = bottleneck;
    }

    static List<Architecture> architectures() {
        return List.of(architecture("resnet18", false, 2, 2, 2, 2), architecture("resnet34", false, 3, 4, 6, 3),
                architecture("resnet50", true, 3, 4, 6, 3), architecture("resnet101", true, 3, 4, 23, 3),
                architecture("resnet152", true, 3, 8, 36, 3));
    }

    private static Architecture architecture(String name, boolean bottleneck, int... blocks) {
        return new Architecture(name, 224, 1000, Card.imageNet("default of " + name), options ->
                new ResNet(new NetworkBuilder(name, options), bottleneck).build(blocks));
    }

    private Network build(int[] blocks) {
        GraphBuilder graph = net.graph();
        Value x = graph.relu("relu", conv("conv1", "bn1", net.stem(), 3, 64, 7, 2));
        x = graph.maxPool("maxpool", x, Pool2d.of(3).stride(2).pad(1));
        int in = 64;
        for (int stage = 0; stage < blocks.length; stage++) {
            String layer = "layer" + (stage + 1);
            net.group(layer);
            int width = 64 << stage;
            int out = bottleneck ? width * EXPANSION : width;
            for (int block = 0; block < blocks[stage]; block++) {
                x = block(layer + "." + block, x, in, width, out, stage > 0 && block == 0 ? 2 : 1);
                in = out;
            }
        }
        x = graph.globalPool("avgpool", x, false, false);
        x = net.head(x, "dropout", 0);
        return net.build(net.linear("fc", x, in, net.classes(), Start.torchDefault(in), Start.torchDefault(in)));
    }

    private Value block(String name, Value x, int in, int width, int out, int stride) {
        GraphBuilder graph = net.graph();
        String at = name + ".";
        Value y;
        if (bottleneck) {
            y = graph.relu(at + "relu1", conv(at + "conv1", at + "bn1", x, in, width, 1, 1));
            y = graph.relu(at + "relu2", conv(at + "conv2", at + "bn2", y, width, width, 3, stride));
            y = conv(at + "conv3", at + "bn3", y, width, out, 1, 1);
        } else {
            y = graph.relu(at + "relu1", conv(at + "conv1", at + "bn1", x, in, width, 3, stride));
            y = conv(at + "conv2", at + "bn2", y, width, out, 3, 1);
        }
        Value shortcut = stride == 1 && in == out ? x : conv(at + "downsample.0", at + "downsample.1", x, in, out, 1, stride);
        return graph.relu(at + "relu", graph.add(at + "add", y, shortcut));
    }

    /** Convolution without bias, "same" padding, then batch norm. */
    private Value conv(String conv, String norm, Value x, int in, int out, int kernel, int stride) {
        double fanOut = (double) out * kernel * kernel;
        x = net.conv(conv, x, in, out, kernel, Conv2d.DEFAULT.stride(stride).pad(kernel / 2), Start.kaimingNormal(fanOut), null);
        return net.norm(norm, x, out, EPS, MOMENTUM);
    }
}
