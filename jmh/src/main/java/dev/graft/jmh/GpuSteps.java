package dev.graft.jmh;

import dev.graft.engine.Device;
import dev.graft.engine.Precision;
import dev.graft.jmh.TrainingStep.Recipe;
import dev.graft.model.Network;
import java.util.Arrays;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Whole training steps on a GPU, as lines that {@code native/gpu/record} turns into rows of a CSV: {@code GpuSteps DEVICE SAMPLES
 * [ROWS]}. Milliseconds are wall time of a step and of reading its loss, which waits for it; MB is what the device holds for
 * parameters and plan, which a plan takes before its first step and keeps. {@code jmh/peers/torch/step_rows.py} has the peers' side.
 */
public final class GpuSteps {
    private static final int BATCH = 128;
    private static final int WARM_UP = 5;
    private static final Pattern BYTES = Pattern.compile("\"bytes\":(\\d+)");

    private GpuSteps() {}

    public static void main(String[] arguments) {
        if (arguments.length < 2) {
            System.err.println("usage: GpuSteps DEVICE SAMPLES [ROWS]");
            System.exit(2);
        }
        String device = arguments[0];
        int samples = Integer.parseInt(arguments[1]);
        String rows = arguments.length > 2 ? arguments[2] : "";
        boolean all = true;
        all &= row("resnet50_full_b128", rows, device, samples, "resnet50", Recipe.sgd("full"));
        all &= row("vit_base_full_b128", rows, device, samples, StartFile.VIT_BASE, Recipe.adamW("full"));
        all &= row("vit_base_lora_b128", rows, device, samples, StartFile.VIT_BASE, Recipe.adamW("lora:r=8,alpha=16,targets=*.qkv"));
        all &= row("vit_base_head_b128", rows, device, samples, StartFile.VIT_BASE, Recipe.adamW("head"));
        all &= row("vit_base_lastblock_b128", rows, device, samples, StartFile.VIT_BASE, Recipe.adamW("partial:from=blocks.11"));
        System.exit(all ? 0 : 1);
    }

    /** What fails is a row too and keeps no other from being measured. */
    private static boolean row(String name, String rows, String device, int samples, String model, Recipe recipe) {
        if (!name.contains(rows)) {
            return true;
        }
        try {
            Network network = StartFile.published(model);
            try (TrainingStep step = new TrainingStep(network, recipe, Precision.BF16, BATCH, Device.open(device, 1, 1))) {
                measure(name, step, samples);
            }
            return true;
        } catch (RuntimeException e) {
            System.out.println("status\t" + name + "\tgraft\tfailed\t" + e.toString().lines().findFirst().orElse(""));
            return false;
        }
    }

    private static void measure(String name, TrainingStep step, int samples) {
        for (int i = 0; i < WARM_UP; i++) {
            step.run();
        }
        double[] milliseconds = new double[samples];
        double loss = 0;
        for (int i = 0; i < samples; i++) {
            long start = System.nanoTime();
            loss = step.run();
            milliseconds[i] = (System.nanoTime() - start) * 1e-6;
        }
        if (!Double.isFinite(loss)) {
            throw new IllegalStateException("the loss of the last step is " + loss);
        }
        samples(name, "ms", milliseconds, "wall time; loss " + loss);
        Matcher held = BYTES.matcher(step.device());
        if (held.find()) {
            samples(name, "MB", new double[] {Double.parseDouble(held.group(1)) * 1e-6}, "");
        }
    }

    private static void samples(String name, String unit, double[] values, String note) {
        String numbers = Arrays.stream(values).mapToObj(v -> String.format(Locale.ROOT, "%.6g", v)).collect(Collectors.joining(" "));
        System.out.println("samples\t" + name + "\tgraft\t" + unit + "\t" + numbers + "\t" + note);
    }
}
