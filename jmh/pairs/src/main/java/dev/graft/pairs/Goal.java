package dev.graft.pairs;

import java.util.List;

/**
 * A line of the speed list.
 *
 * @param precision {@code f32} or {@code bf16}
 * @param against the side Graft is compared with; Graft itself where a figure of its own decides
 * @param metric {@code speed}: the other side's time over Graft's; {@code memory}: Graft's peak over the other's; of Graft
 *     itself the name of a figure among a row's settings
 * @param bound the least that will do where more is better, else the most
 */
record Goal(Workload workload, String precision, Side against, String metric, double bound) {
    static final String SPEED = "speed";
    static final String MEMORY = "memory";

    static final List<Goal> ALL = List.of(
            new Goal(Workload.RESNET18_FULL, "f32", Side.TUNED, SPEED, 1.0),
            new Goal(Workload.RESNET18_FULL, "f32", Side.UNTUNED, SPEED, 1.35),
            new Goal(Workload.RESNET18_FULL, "f32", Side.TUNED, MEMORY, 0.7),
            new Goal(Workload.RESNET18_FULL, "bf16", Side.TUNED, SPEED, 1.0),
            new Goal(Workload.RESNET18_FULL, "bf16", Side.TUNED, MEMORY, 0.7),
            new Goal(Workload.RESNET18_HEAD, "f32", Side.TUNED, SPEED, 1.05),
            new Goal(Workload.RESNET18_HEAD, "f32", Side.CEILING, SPEED, 0.92),
            new Goal(Workload.RESNET18_HEAD, "f32", Side.TUNED, MEMORY, 0.5),
            new Goal(Workload.RESNET18_HEAD, "bf16", Side.TUNED, SPEED, 1.0),
            new Goal(Workload.RESNET18_HEAD, "bf16", Side.CEILING, SPEED, 0.92),
            new Goal(Workload.RESNET18_HEAD, "bf16", Side.TUNED, MEMORY, 0.5),
            new Goal(Workload.RESNET18_LASTBLOCK, "f32", Side.TUNED, SPEED, 1.05),
            new Goal(Workload.RESNET18_LASTBLOCK, "f32", Side.CEILING, SPEED, 0.92),
            new Goal(Workload.RESNET18_LASTBLOCK, "f32", Side.TUNED, MEMORY, 0.5),
            new Goal(Workload.RESNET18_LASTBLOCK, "bf16", Side.TUNED, SPEED, 1.0),
            new Goal(Workload.RESNET18_LASTBLOCK, "bf16", Side.CEILING, SPEED, 0.92),
            new Goal(Workload.RESNET18_LASTBLOCK, "bf16", Side.TUNED, MEMORY, 0.5),
            new Goal(Workload.SOFTMAX_CE, "f32", Side.TUNED, SPEED, 3),
            new Goal(Workload.SOFTMAX_CE, "f32", Side.CEILING, SPEED, 0.7),
            new Goal(Workload.ADAMW_100M, "f32", Side.CEILING, SPEED, 0.9),
            new Goal(Workload.LORA_LINEAR, "f32", Side.TUNED, SPEED, 1.3),
            new Goal(Workload.LORA_LINEAR, "bf16", Side.TUNED, SPEED, 1.1),
            new Goal(Workload.VIT_TINY_FULL, "f32", Side.TUNED, SPEED, 1.15),
            new Goal(Workload.VIT_TINY_FULL, "bf16", Side.TUNED, SPEED, 1.1),
            new Goal(Workload.VIT_BASE_LORA, "f32", Side.TUNED, SPEED, 1.15),
            new Goal(Workload.VIT_BASE_LORA, "f32", Side.TUNED, MEMORY, 0.5),
            new Goal(Workload.VIT_BASE_LORA, "bf16", Side.TUNED, SPEED, 1.1),
            new Goal(Workload.VIT_BASE_LORA, "bf16", Side.TUNED, MEMORY, 0.5),
            new Goal(Workload.LORA_OVER_FROZEN, "f32", Side.GRAFT, "time_ratio", 1.12),
            new Goal(Workload.LORA_OVER_FROZEN, "bf16", Side.GRAFT, "time_ratio", 1.12),
            new Goal(Workload.LORA_OVER_FULL, "f32", Side.GRAFT, "time_ratio", 0.72),
            new Goal(Workload.LORA_OVER_FULL, "bf16", Side.GRAFT, "time_ratio", 0.72),
            new Goal(Workload.GROUPED_OVER_SINGLE, "f32", Side.GRAFT, "time_ratio", 1.1),
            new Goal(Workload.GROUPED_OVER_SINGLE, "bf16", Side.GRAFT, "time_ratio", 1.1),
            new Goal(Workload.FEATURE_CACHE, "f32", Side.GRAFT, "second_epoch_speedup", 20),
            new Goal(Workload.LOADER, "f32", Side.GRAFT, "loader_wait_percent", 10),
            new Goal(Workload.RESNET18_FULL, "f32", Side.GRAFT, "java_bytes_per_step", 0),
            new Goal(Workload.RESNET18_FULL, "bf16", Side.GRAFT, "java_bytes_per_step", 0),
            new Goal(Workload.RESNET18_HEAD, "f32", Side.GRAFT, "java_bytes_per_step", 0),
            new Goal(Workload.RESNET18_LASTBLOCK, "f32", Side.GRAFT, "java_bytes_per_step", 0));

    boolean metBy(double value) {
        return metric.equals(SPEED) || metric.endsWith("speedup") ? value >= bound : value <= bound;
    }
}
