package dev.graft.model;

import java.util.List;
import java.util.Objects;

/**
 * What a low-rank adapter (Hu et al. 2021, <i>LoRA</i>) adds to one layer: {@code factor * B A} on top of its weight. In a linear
 * layer [N, K] A is [rank, K] and B [N, rank]; in a convolution of N filters over C channels A is a convolution of its own
 * [rank, kernelH, kernelW, C] with the layer's stride and padding, and B [N, 1, 1, rank]. With slices, each has a pair of its
 * own, stacked: A [slices * rank, K] and B [slices * width, rank].
 *
 * @param module   name of the layer: that of its weight without {@code .weight}
 * @param rank     at least 1
 * @param factor   alpha / rank, or alpha / sqrt(rank) with rank-stabilised scaling (Kalajdzievski 2023); finite
 * @param dropout  rate on what A reads while training, 0 to below 1
 * @param slices   columns of the result that are adapted, all of one width, ascending; empty for all. Linear layers only
 */
public record LowRankLayer(String module, int rank, double factor, double dropout, List<Slice> slices) {
    /** Most slices of one layer. */
    public static final int MOST_SLICES = 8;

    /** Columns {@code start} to {@code start + width - 1} of a layer's result, such as q in a fused qkv. */
    public record Slice(int start, int width) {}

    /** Checks the numbers and copies the slices. */
    public LowRankLayer {
        Objects.requireNonNull(module, "module");
        slices = List.copyOf(slices);
        require(rank >= 1, module, "rank is " + rank + ", expected at least 1");
        require(Double.isFinite(factor), module, "the factor of its adapter is " + factor + ", expected a finite number");
        require(dropout >= 0 && dropout < 1, module, "dropout is " + dropout + ", expected 0 or more and less than 1");
        require(slices.size() <= MOST_SLICES, module, slices.size() + " slices, expected at most " + MOST_SLICES);
        int end = 0;
        for (Slice s : slices) {
            require(s.width >= 1 && s.width == slices.get(0).width && s.start >= end, module,
                    "its slices are " + slices + ", expected one width of at least 1, ascending and apart");
            end = s.start + s.width;
        }
    }

    /** An adapter of the whole layer without dropout. */
    public LowRankLayer(String module, int rank, double factor) {
        this(module, rank, factor, 0, List.of());
    }

    /** Pairs of A and B: the slices, or 1. */
    public int pairs() {
        return Math.max(1, slices.size());
    }

    private static void require(boolean holds, String module, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(module + ": " + otherwise);
        }
    }
}
