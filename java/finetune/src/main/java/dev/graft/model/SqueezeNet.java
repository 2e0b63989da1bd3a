package dev.graft.model;

import dev.graft.engine.Conv2d;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Pool2d;
import dev.graft.engine.Value;
import dev.graft.weights.Card;
import java.util.List;

/**
 * SqueezeNet (Iandola et al. 2016) 1.0 and 1.1 as torchvision defines them. The head is dropout, a 1x1 convolution, ReLU
 * and the mean over positions, so the features are a map, [N, H, W, 512].
 */
final class SqueezeNet {
    private static final double DROPOUT = 0.5;
    private static final double HEAD_DEVIATION = 0.01;
    private static final Pool2d POOL = Pool2d.of(3).stride(2).ceilMode(true);

    /** Channels of the fire modules: what squeezes, and each of the two that expand. */
    private static final int[][] FIRES = {{16, 64}, {16, 64}, {32, 128}, {32, 128}, {48, 192}, {48, 192}, {64, 256}, {64, 256}};

    private final NetworkBuilder net;

    private SqueezeNet(NetworkBuilder net) {
        this.net = net;
    }

    static List<Architecture> architectures() {
        return List.of(architecture("squeezenet1_0", 96, 7, 3, 4), architecture("squeezenet1_1", 64, 3, 2, 2));
    }

    /** {@code first} and {@code second}: fire modules between the first and the second, and the second and the third pooling. */
    private static Architecture architecture(String name, int channels, int kernel, int first, int second) {
        return new Architecture(name, 224, 1000, Card.imageNet("default of " + name), options ->
                new SqueezeNet(new NetworkBuilder(name, options)).build(channels, kernel, first, second));
    }

    private Network build(int channels, int kernel, int first, int second) {
        GraphBuilder graph = net.graph();
        Value x = conv("features.0", net.stem(), 3, channels, kernel, Conv2d.DEFAULT.stride(2));
        x = graph.maxPool("features.2", graph.relu("features.1", x), POOL);
        int module = 3;
        net.group("features." + module);
        int in = channels;
        for (int fire = 0; fire < FIRES.length; fire++) {
            if (fire == first || fire == first + second) {
                x = graph.maxPool("features." + module++, x, POOL);
                net.group("features." + module);
            }
            x = fire("features." + module++ + ".", x, in, FIRES[fire][0], FIRES[fire][1]);
            in = 2 * FIRES[fire][1];
        }
        x = net.head(x, "classifier.0", DROPOUT);
        x = net.conv("classifier.1", x, in, net.classes(), 1, Conv2d.DEFAULT, new Start.Normal(HEAD_DEVIATION), NetworkBuilder.ZERO);
        return net.build(graph.globalPool("classifier.3", graph.relu("classifier.2", x), false, false));
    }

    private Value fire(String at, Value x, int in, int squeeze, int expand) {
        GraphBuilder graph = net.graph();
        x = graph.relu(at + "squeeze_activation", conv(at + "squeeze", x, in, squeeze, 1, Conv2d.DEFAULT));
        Value one = graph.relu(at + "expand1x1_activation", conv(at + "expand1x1", x, squeeze, expand, 1, Conv2d.DEFAULT));
        Value three = graph.relu(at + "expand3x3_activation", conv(at + "expand3x3", x, squeeze, expand, 3, Conv2d.DEFAULT.pad(1)));
        return graph.concat(at + "concat", 3, one, three);
    }

    private Value conv(String name, Value x, int in, int out, int kernel, Conv2d attributes) {
        double fanIn = (double) in * kernel * kernel;
        return net.conv(name, x, in, out, kernel, attributes, Start.kaimingUniform(fanIn), NetworkBuilder.ZERO);
    }
}
