package dev.graft.jmh;

import dev.graft.engine.Conv2d;
import dev.graft.engine.DType;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Pool2d;
import dev.graft.engine.Value;

/** ResNet-18 for 1000 classes with torchvision's names (11 689 512 parameters), and its loss. */
final class ResNet18 {
    static final int SIZE = 224;
    static final int CLASSES = 1000;
    private static final int[] WIDTHS = {64, 128, 256, 512};

    private final GraphBuilder builder = Graph.builder();

    private ResNet18() {}

    /** Inputs {@code images} [N, 224, 224, 3] and {@code labels} [N]; one loss. */
    static Graph graph() {
        return new ResNet18().build();
    }

    private Graph build() {
        Value images = builder.input("images", DType.F32, 0, SIZE, SIZE, 3);
        Value labels = builder.input("labels", DType.I32, 0);
        Value x = convolution("conv1", images, 3, 64, 7, 2, 3);
        x = builder.relu("relu", norm("bn1", x, 64));
        x = builder.maxPool("maxpool", x, Pool2d.of(3).stride(2).pad(1));
        int channels = WIDTHS[0];
        for (int stage = 0; stage < WIDTHS.length; stage++) {
            for (int i = 0; i < 2; i++) {
                int stride = stage > 0 && i == 0 ? 2 : 1;
                x = block("layer" + (stage + 1) + "." + i, x, channels, WIDTHS[stage], stride);
                channels = WIDTHS[stage];
            }
        }
        x = builder.globalPool("avgpool", x, false, false);
        x = builder.linear("fc", x, builder.parameter("fc.weight", CLASSES, channels), builder.parameter("fc.bias", CLASSES));
        builder.softmaxCrossEntropy("loss", x, labels);
        return builder.build();
    }

    private Value block(String name, Value x, int in, int out, int stride) {
        Value y = convolution(name + ".conv1", x, in, out, 3, stride, 1);
        y = builder.relu(name + ".relu1", norm(name + ".bn1", y, out));
        y = norm(name + ".bn2", convolution(name + ".conv2", y, out, out, 3, 1, 1), out);
        Value shortcut = x;
        if (stride != 1 || in != out) {
            shortcut = norm(name + ".downsample.1", convolution(name + ".downsample.0", x, in, out, 1, stride, 0), out);
        }
        return builder.relu(name + ".relu2", builder.add(name + ".add", y, shortcut));
    }

    private Value convolution(String name, Value x, int in, int out, int kernel, int stride, int padding) {
        Value weight = builder.parameter(name + ".weight", out, kernel, kernel, in);
        return builder.conv2d(name, x, weight, null, Conv2d.DEFAULT.stride(stride).pad(padding));
    }

    private Value norm(String name, Value x, int channels) {
        return builder.batchNorm(name, x,
                builder.parameter(name + ".weight", channels), builder.parameter(name + ".bias", channels),
                builder.buffer(name + ".running_mean", channels), builder.buffer(name + ".running_var", channels),
                1e-5, 0.1);
    }
}
