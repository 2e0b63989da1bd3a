package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.relu_;

import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.BatchNorm2dImpl;
import org.bytedeco.pytorch.BatchNormOptions;
import org.bytedeco.pytorch.Conv2dImpl;
import org.bytedeco.pytorch.Conv2dOptions;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.Tensor;

/** The residual block of ResNet-18: two 3 x 3 convolutions, and a 1 x 1 one on the shortcut where the shape changes. */
final class BasicBlock extends Module {
    private final Conv2dImpl conv1;
    private final BatchNorm2dImpl bn1;
    private final Conv2dImpl conv2;
    private final BatchNorm2dImpl bn2;
    private final Conv2dImpl shortcut;
    private final BatchNorm2dImpl shortcutNorm;

    BasicBlock(long in, long out, long stride) {
        conv1 = register_module("conv1", convolution(in, out, 3, stride, 1));
        bn1 = register_module("bn1", norm(out));
        conv2 = register_module("conv2", convolution(out, out, 3, 1, 1));
        bn2 = register_module("bn2", norm(out));
        boolean reshapes = stride != 1 || in != out;
        shortcut = reshapes ? register_module("downsample_0", convolution(in, out, 1, stride, 0)) : null;
        shortcutNorm = reshapes ? register_module("downsample_1", norm(out)) : null;
    }

    Tensor forward(Tensor x) {
        Tensor y = relu_(bn1.forward(conv1.forward(x)));
        y = bn2.forward(conv2.forward(y));
        return relu_(y.add_(shortcut == null ? x : shortcutNorm.forward(shortcut.forward(x))));
    }

    /** A square convolution without bias, as torchvision's ResNet has them. */
    static Conv2dImpl convolution(long in, long out, long kernel, long stride, long padding) {
        Conv2dOptions options = new Conv2dOptions(in, out, new LongPointer(kernel, kernel));
        // put(stride, stride) would be index and value
        options.stride().put(new long[] {stride, stride});
        options.padding().put(new LongPointer(padding, padding));
        options.bias().put(false);
        return new Conv2dImpl(options);
    }

    static BatchNorm2dImpl norm(long channels) {
        return new BatchNorm2dImpl(new BatchNormOptions(channels));
    }
}
