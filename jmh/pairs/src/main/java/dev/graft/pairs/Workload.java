package dev.graft.pairs;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** The workloads of the speed list that run in processes of their own. Every side knows them by the same name. */
public enum Workload {
    /** ResNet-18, 1000 classes, 32 images of 224 x 224: forward, backward and SGD with momentum on all parameters. */
    RESNET18_FULL(List.of("f32", "bf16"), 2, 5),
    /** The same net with all but the classifier frozen; norms in their inference form. The prefix runs in every step. */
    RESNET18_HEAD(List.of("f32", "bf16"), 2, 7),
    /** The same net with layer4 and the classifier trained, layer4's norms on batch statistics, the rest frozen. */
    RESNET18_LASTBLOCK(List.of("f32", "bf16"), 2, 5),
    /** Softmax cross-entropy of 4096 x 32000 F32 logits with the gradient of the logits. */
    SOFTMAX_CE(List.of("f32"), 3, 9),
    /** One AdamW update of 100 million F32 parameters in 100 tensors of a million, gradients given. */
    ADAMW_100M(List.of("f32"), 3, 9),
    /** Two epochs of a new head on ResNet-18 with cached features; what counts is the second. Graft alone. */
    FEATURE_CACHE(List.of("f32"), 0, 1),
    /** An epoch of ResNet-18 full steps on JPEGs of 500 x 375, and how long they had to be waited for. Graft alone. */
    LOADER(List.of("f32"), 1, 1);

    private final List<String> precisions;
    private final int warmup;
    private final int steps;

    Workload(List<String> precisions, int warmup, int steps) {
        this.precisions = precisions;
        this.warmup = warmup;
        this.steps = steps;
    }

    /** The name in commands and files, as in {@code resnet18_full}. */
    public String id() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** The compute precisions it is measured in: {@code f32}, {@code bf16}. */
    public List<String> precisions() {
        return precisions;
    }

    /** Untimed steps a process takes first. */
    int warmup() {
        return warmup;
    }

    /** Timed steps of a process. */
    int steps() {
        return steps;
    }

    /** Whether other sides run it too. */
    boolean compared() {
        return this != FEATURE_CACHE && this != LOADER;
    }

    /**
     * @throws IllegalArgumentException if there is no workload of that name
     */
    public static Workload of(String id) {
        return Arrays.stream(values())
                .filter(workload -> workload.id().equals(id))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("unknown workload " + id + "; there are "
                        + Arrays.stream(values()).map(Workload::id).collect(Collectors.joining(", "))));
    }
}
