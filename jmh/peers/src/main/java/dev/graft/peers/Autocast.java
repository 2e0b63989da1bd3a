package dev.graft.peers;

import static org.bytedeco.pytorch.global.torch.clear_cache;
import static org.bytedeco.pytorch.global.torch.set_autocast_cache_enabled;
import static org.bytedeco.pytorch.global.torch.set_autocast_dtype;
import static org.bytedeco.pytorch.global.torch.set_autocast_enabled;

import java.util.function.Supplier;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** CPU autocast to bf16, which the preset has as three global switches and a cache to clear by hand. */
final class Autocast {
    private Autocast() {}

    /** What {@code forward} makes, under autocast where {@code on}; backward follows the types that forward chose. */
    static Tensor around(boolean on, Supplier<Tensor> forward) {
        if (!on) {
            return forward.get();
        }
        set_autocast_enabled(DeviceType.CPU, true);
        set_autocast_dtype(DeviceType.CPU, ScalarType.BFloat16);
        set_autocast_cache_enabled(true);
        try {
            return forward.get();
        } finally {
            clear_cache();
            set_autocast_enabled(DeviceType.CPU, false);
        }
    }
}
