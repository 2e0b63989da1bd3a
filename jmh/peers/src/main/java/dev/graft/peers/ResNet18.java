package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.adaptive_avg_pool2d;
import static org.bytedeco.pytorch.global.torch.kaiming_normal_;
import static org.bytedeco.pytorch.global.torch.max_pool2d;
import static org.bytedeco.pytorch.global.torch.relu_;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BatchNorm2dImpl;
import org.bytedeco.pytorch.Conv2dImpl;
import org.bytedeco.pytorch.FanModeType;
import org.bytedeco.pytorch.LinearImpl;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Nonlinearity;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.kFanOut;
import org.bytedeco.pytorch.kReLU;

/** ResNet-18 for 1000 classes (torchvision's, 11 689 512 parameters), trained from a given stage on. */
final class ResNet18 extends Module {
    private static final long[] WIDTHS = {64, 128, 256, 512};

    private final Conv2dImpl conv1;
    private final BatchNorm2dImpl bn1;
    private final List<BasicBlock> blocks = new ArrayList<>();
    private final LinearImpl fc;
    private final int frozenBlocks;

    /**
     * @param frozenBlocks how many of the eight blocks, with the stem before them, are frozen; -1 trains everything.
     *     Frozen parts want no gradient, run outside autograd and keep their norms in inference form.
     * @param format memory format of the convolution weights
     */
    ResNet18(int frozenBlocks, MemoryFormat format) {
        this.frozenBlocks = frozenBlocks;
        conv1 = register_module("conv1", BasicBlock.convolution(3, 64, 7, 2, 3));
        bn1 = register_module("bn1", BasicBlock.norm(64));
        for (int stage = 0; stage < WIDTHS.length; stage++) {
            long in = WIDTHS[Math.max(0, stage - 1)];
            for (int i = 0; i < 2; i++) {
                BasicBlock block = new BasicBlock(i == 0 ? in : WIDTHS[stage], WIDTHS[stage], i == 0 && stage > 0 ? 2 : 1);
                blocks.add(register_module("layer" + (stage + 1) + "_" + i, block));
            }
        }
        fc = register_module("fc", new LinearImpl(512, 1000));
        initialize(format);
        freeze();
    }

    /** Logits (N, 1000) of images (N, 3, 224, 224). */
    Tensor forward(Tensor images) {
        Tensor x = images;
        if (frozenBlocks >= 0) {
            try (NoGradGuard frozen = new NoGradGuard()) {
                x = stem(x);
                for (BasicBlock block : blocks.subList(0, frozenBlocks)) {
                    x = block.forward(x);
                }
            }
        } else {
            x = stem(x);
        }
        for (BasicBlock block : blocks.subList(Math.max(0, frozenBlocks), blocks.size())) {
            x = block.forward(x);
        }
        return fc.forward(adaptive_avg_pool2d(x, 1, 1).flatten(1, -1));
    }

    private Tensor stem(Tensor images) {
        Tensor x = relu_(bn1.forward(conv1.forward(images)));
        return max_pool2d(x, new long[] {3, 3}, new long[] {2, 2}, new long[] {1, 1}, new long[] {1, 1}, false);
    }

    /** torchvision's initialization of convolutions; the rest keeps PyTorch's own. */
    private void initialize(MemoryFormat format) {
        try (PointerScope scope = new PointerScope(); NoGradGuard noGrad = new NoGradGuard()) {
            TensorVector all = parameters();
            for (long i = 0; i < all.size(); i++) {
                Tensor parameter = all.get(i);
                if (parameter.dim() == 4) {
                    kaiming_normal_(parameter, 0, new FanModeType(new kFanOut()), new Nonlinearity(new kReLU()));
                    parameter.set_data(parameter.contiguous(format));
                }
            }
        }
    }

    private void freeze() {
        train(true);
        if (frozenBlocks < 0) {
            return;
        }
        List<Module> frozen = new ArrayList<>(List.of(conv1, bn1));
        frozen.addAll(blocks.subList(0, frozenBlocks));
        for (Module module : frozen) {
            module.eval();
            TensorVector parameters = module.parameters();
            for (long i = 0; i < parameters.size(); i++) {
                parameters.get(i).set_requires_grad(false);
            }
        }
    }
}
