package dev.graft.jmh;

import dev.graft.engine.Device;
import dev.graft.engine.Precision;
import dev.graft.finetune.FineTuning;
import dev.graft.jmh.TrainingStep.Recipe;
import dev.graft.model.Network;
import dev.graft.train.EpochRecord;
import dev.graft.train.TrainObserver;
import java.util.Arrays;
import java.util.List;
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
        all &= pictures(rows, device, Math.max(3, samples / 4));
        System.exit(all ? 0 : 1);
    }

    /** Pictures a second of a whole training of ResNet-50 from a folder of JPEGs, by epoch; the first decodes them and is not counted. */
    private static boolean pictures(String rows, String device, int epochs) {
        String name = "resnet50_jpeg_b128";
        if (!name.contains(rows)) {
            return true;
        }
        try (Pictures pictures = new Pictures(8 * BATCH);
                FineTuning run = FineTuning.of("resnet50").weights(StartFile.of(StartFile.published("resnet50"))).data(pictures.folder())
                        .strategy("full").epochs(epochs + 1).batch(BATCH).device(device).precision(Precision.BF16).open()) {
            List<EpochRecord> history = run.run(TrainObserver.SILENT, () -> false).history();
            double[] rates = history.stream().skip(1).mapToDouble(e -> 8 * BATCH / e.seconds()).toArray();
            double waited = history.stream().skip(1).mapToDouble(EpochRecord::loaderWaitSeconds).sum();
            samples(name, "pictures/s", rates, "flip; waited " + waited + " s for pictures");
            return true;
        } catch (RuntimeException e) {
            System.out.println("status\t" + name + "\tgraft\tfailed\t" + e.toString().lines().findFirst().orElse(""));
            return false;
        }
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
        double[] micros = new double[samples];
        double loss = 0;
        for (int i = 0; i < samples; i++) {
            long start = System.nanoTime();
            loss = step.run();
            milliseconds[i] = (System.nanoTime() - start) * 1e-6;
            micros[i] = step.hostSeconds() * 1e6;
        }
        if (!Double.isFinite(loss)) {
            throw new IllegalStateException("the loss of the last step is " + loss);
        }
        samples(name, "ms", milliseconds, "wall time; loss " + loss);
        samples(name, "us of host", micros, "in the step's native call without the wait for the GPU");
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
