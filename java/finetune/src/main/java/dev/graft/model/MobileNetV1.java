package dev.graft.model;

import dev.graft.engine.Conv2d;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Value;
import dev.graft.weights.Card;
import dev.graft.weights.ChannelOrder;
import dev.graft.weights.Interpolation;
import java.util.List;

/**
 * MobileNet V1 (Howard et al. 2017), a convolution and 13 pairs of a depthwise and a pointwise one, in two published forms.
 *
 * <ul>
 * <li>Keras: ReLU6, batch norm eps 1e-3, "same" padding that puts the odd row and column at the bottom and right, the head
 * a 1x1 convolution; names {@code conv1}, {@code conv_dw_1}, {@code conv_dw_1_bn}, {@code conv_preds}.
 * <li>"leaky", x0.25, the backbone of github.com/biubug6/Pytorch_Retinaface: LeakyReLU(0.1), padding on all sides, a linear
 * head; names {@code stage1.0.0}, {@code fc}.
 * </ul>
 */
final class MobileNetV1 {
    private static final int STEM = 32;
    /** Output channels of the pairs at width 1. */
    private static final int[] CHANNELS = {64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024};

    private MobileNetV1() {}

    static List<Architecture> architectures() {
        return List.of(keras("mobilenet_v1_025", 0.25), keras("mobilenet_v1_050", 0.5), keras("mobilenet_v1_100", 1),
                leaky("mobilenet_v1_025_leaky"));
    }

    private static Architecture keras(String name, double width) {
        float[] half = {.5f, .5f, .5f};
        Card card = new Card(256, 224, half, half, Interpolation.BILINEAR, ChannelOrder.RGB, "default of " + name);
        return new Architecture(name, 224, 1000, card, options ->
                new Keras(new NetworkBuilder(name, options), width).build());
    }

    private static Architecture leaky(String name) {
        return new Architecture(name, 224, 1000, Card.imageNet("default of " + name), options ->
                new Leaky(new NetworkBuilder(name, options)).build());
    }

    /** Whether pair {@code i}, from 0, halves the picture: where the channels double, but for the first pair. */
    private static int stride(int i) {
        return i > 0 && CHANNELS[i] > CHANNELS[i - 1] ? 2 : 1;
    }

    private record Keras(NetworkBuilder net, double width) {
        private static final double EPS = 1e-3;
        private static final double MOMENTUM = 0.01;
        private static final double DROPOUT = 1e-3;

        Network build() {
            int in = (int) (STEM * width);
            Value x = conv("conv1", net.stem(), 3, in, 3, 2, 1);
            for (int i = 0; i < CHANNELS.length; i++) {
                String depthwise = "conv_dw_" + (i + 1);
                if (i == 0 || stride(i) == 2) {
                    net.group(depthwise);
                }
                int out = (int) (CHANNELS[i] * width);
                x = conv(depthwise, x, in, in, 3, stride(i), in);
                x = conv("conv_pw_" + (i + 1), x, in, out, 1, 1, 1);
                in = out;
            }
            GraphBuilder graph = net.graph();
            x = graph.globalPool("global_average_pooling2d", x, false, true);
            x = net.head(x, "dropout", DROPOUT);
            int classes = net.classes();
            x = net.conv("conv_preds", x, in, classes, 1, Conv2d.DEFAULT, Start.glorotUniform(in, classes), NetworkBuilder.ZERO);
            return net.build(graph.reshape("reshape", x, 0, classes));
        }

        /** Keras takes a depthwise kernel's fans as (channels, 1) times the kernel's area. */
        private Value conv(String name, Value x, int in, int out, int kernel, int stride, int groups) {
            Conv2d at = Conv2d.DEFAULT.stride(stride).groups(groups);
            at = stride == 2 ? at.pad(0, 0, 1, 1) : at.pad(kernel / 2);
            double area = kernel * kernel;
            Start weight = Start.glorotUniform(area * in, area * out / groups);
            x = net.norm(name + "_bn", net.conv(name, x, in, out, kernel, at, weight, null), out, EPS, MOMENTUM);
            return net.graph().relu6(name + "_relu", x);
        }
    }

    private record Leaky(NetworkBuilder net) {
        private static final double EPS = 1e-5;
        private static final double MOMENTUM = 0.1;
        private static final double SLOPE = 0.1;
        /** Blocks of the stages; the stem is block 0 of the first. */
        private static final int[] STAGES = {6, 6, 2};

        Network build() {
            int in = STEM / 4;
            Value x = conv("stage1.0.", 0, net.stem(), 3, in, 3, 2, 1);
            int pair = 0;
            for (int stage = 0; stage < STAGES.length; stage++) {
                String name = "stage" + (stage + 1);
                net.group(name);
                for (int block = stage == 0 ? 1 : 0; block < STAGES[stage]; block++) {
                    String at = name + "." + block + ".";
                    int out = CHANNELS[pair] / 4;
                    x = conv(at, 0, x, in, in, 3, stride(pair++), in);
                    x = conv(at, 3, x, in, out, 1, 1, 1);
                    in = out;
                }
            }
            x = net.graph().globalPool("avg", x, false, false);
            x = net.head(x, "dropout", 0);
            return net.build(net.linear("fc", x, in, net.classes(), Start.torchDefault(in), Start.torchDefault(in)));
        }

        /** Modules {@code first}, {@code first + 1} and {@code first + 2} of a block: convolution, batch norm, activation. */
        private Value conv(String at, int first, Value x, int in, int out, int kernel, int stride, int groups) {
            Conv2d attributes = Conv2d.DEFAULT.stride(stride).pad(kernel / 2).groups(groups);
            Start weight = Start.torchDefault((double) in / groups * kernel * kernel);
            x = net.conv(at + first, x, in, out, kernel, attributes, weight, null);
            x = net.norm(at + (first + 1), x, out, EPS, MOMENTUM);
            return net.graph().leakyRelu(at + (first + 2), x, SLOPE);
        }
    }
}
