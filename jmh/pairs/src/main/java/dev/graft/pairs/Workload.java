package dev.graft.pairs;

import static dev.graft.pairs.Side.CEILING;
import static dev.graft.pairs.Side.GRAFT;
import static dev.graft.pairs.Side.TUNED;
import static dev.graft.pairs.Side.UNTUNED;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;

/** The workloads of the speed list that run in processes of their own. Every side knows them by the same name. */
public enum Workload {
    /** ResNet-18, 1000 classes, 32 images of 224 x 224: forward, backward and SGD with momentum on all parameters. */
    RESNET18_FULL(Set.of(GRAFT, TUNED, UNTUNED, CEILING), 2, 5, "f32", "bf16"),
    /** The same net with all but the classifier frozen; norms in their inference form. The prefix runs in every step. */
    RESNET18_HEAD(Set.of(GRAFT, TUNED, UNTUNED, CEILING), 2, 7, "f32", "bf16"),
    /** The same net with layer4 and the classifier trained, layer4's norms on batch statistics, the rest frozen. */
    RESNET18_LASTBLOCK(Set.of(GRAFT, TUNED, UNTUNED, CEILING), 2, 5, "f32", "bf16"),
    /** Softmax cross-entropy of 4096 x 32000 F32 logits with the gradient of the logits. */
    SOFTMAX_CE(Set.of(GRAFT, TUNED, UNTUNED, CEILING), 3, 9, "f32"),
    /** One AdamW update of 100 million F32 parameters in 100 tensors of a million, gradients given. */
    ADAMW_100M(Set.of(GRAFT, TUNED, UNTUNED, CEILING), 3, 9, "f32"),
    /** A frozen linear layer 768 to 768 with a low-rank branch of rank 8 on 4096 rows: forward, gradients of x, A and B. */
    LORA_LINEAR(Set.of(GRAFT, TUNED), 5, 25, "f32", "bf16"),
    /** ViT-Ti/16, 1000 classes, 32 images of 224 x 224: forward, backward and AdamW on all parameters. */
    VIT_TINY_FULL(Set.of(GRAFT, TUNED), 1, 3, "f32", "bf16"),
    /** ViT-B/16, 100 classes, 8 images: branches of rank 8 beside each qkv and the classifier trained by AdamW. */
    VIT_BASE_LORA(Set.of(GRAFT, TUNED), 1, 2, "f32", "bf16"),
    /** LORA_LINEAR and the same layer without a branch, its weight frozen, in turns. Graft alone. */
    LORA_OVER_FROZEN(Set.of(GRAFT), 3, 9, "f32", "bf16"),
    /** The step of VIT_BASE_LORA and one that trains the whole network, in turns. Graft alone. */
    LORA_OVER_FULL(Set.of(GRAFT), 1, 2, "f32", "bf16"),
    /** LORA_LINEAR on 32 samples of 128 rows with 8 adapters, and on the same rows with one, in turns. Graft alone. */
    GROUPED_OVER_SINGLE(Set.of(GRAFT), 3, 9, "f32", "bf16"),
    /** Two epochs of a new head on ResNet-18 with cached features; what counts is the second. Graft alone. */
    FEATURE_CACHE(Set.of(GRAFT), 0, 1, "f32"),
    /** An epoch of ResNet-18 full steps on JPEGs of 500 x 375, and how long they had to be waited for. Graft alone. */
    LOADER(Set.of(GRAFT), 1, 1, "f32");

    private final Set<Side> sides;
    private final List<String> precisions;
    private final int warmup;
    private final int steps;

    Workload(Set<Side> sides, int warmup, int steps, String... precisions) {
        this.sides = sides;
        this.precisions = List.of(precisions);
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

    boolean runsOn(Side side, String precision) {
        return sides.contains(side) && (side != UNTUNED || precision.equals("f32"));
    }

    /** Whether a peer spends its time in F32 in a BLAS, so that its choice decides. */
    boolean needsBlas() {
        return this == LORA_LINEAR || this == VIT_TINY_FULL || this == VIT_BASE_LORA;
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
