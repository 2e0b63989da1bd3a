package dev.graft.weights;

import java.util.List;

/** The prefixes that PyTorch's wrappers put before every name: DataParallel's {@code module.}, torch.compile's {@code _orig_mod.}. */
final class WrapperPrefix {
    private static final List<String> PREFIXES = List.of("module.", "_orig_mod.");

    private WrapperPrefix() {
    }

    /** The longest sequence of wrapper prefixes that all names share; empty if there is none. */
    static String of(List<StoredTensor> tensors) {
        String shared = "";
        for (boolean longer = !tensors.isEmpty(); longer; ) {
            longer = false;
            for (String prefix : PREFIXES) {
                String candidate = shared + prefix;
                if (tensors.stream().allMatch(t -> t.name().startsWith(candidate) && t.name().length() > candidate.length())) {
                    shared = candidate;
                    longer = true;
                }
            }
        }
        return shared;
    }
}
