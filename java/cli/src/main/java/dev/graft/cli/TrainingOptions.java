package dev.graft.cli;

import dev.graft.finetune.FineTuning;
import dev.graft.finetune.FineTuningBuilder;
import dev.graft.finetune.HeadChoice;
import dev.graft.train.Schedule;
import dev.graft.tune.BatchNormPolicy;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The options of a run, as {@code finetune} and {@code plan} take them. What is not given is left to the builder's defaults. */
final class TrainingOptions {
    @Option(names = "--model", paramLabel = "NAME", required = true, description = "see graft models")
    String model;

    @Option(names = "--weights", paramLabel = "FILE", description = "a checkpoint or a former result; scratch needs none")
    Path weights;

    @Option(names = "--data", paramLabel = "DIR|ZIP", required = true, description = "a folder per class, in train, val, test where there are splits")
    Path data;

    @Option(names = "--strategy", paramLabel = "S",
            description = "scratch, head, partial:from=GROUP, partial:train=GLOB+GLOB, gradual:every=N, gradual:patience=N, "
                    + "lora:r=8,alpha=16,targets=GLOB+GLOB or full (default)")
    String strategy;

    @Option(names = "--epochs", paramLabel = "N", description = "default 10")
    Integer epochs;

    @Option(names = "--batch", paramLabel = "N", description = "pictures a step; default 32")
    Integer batch;

    @Option(names = "--lr", paramLabel = "X", description = "rate; default 0.01")
    Double rate;

    @Option(names = "--optimizer", paramLabel = "O", description = "sgd (default) or adamw")
    String optimizer;

    @Option(names = "--momentum", paramLabel = "X", description = "of SGD; default 0.9")
    Double momentum;

    @Option(names = "--weight-decay", paramLabel = "X", description = "none on bias and norm; default 1e-4, for head 1e-3")
    Double weightDecay;

    @Option(names = "--schedule", paramLabel = "S", description = "constant (default for head), step, cosine (default) or onecycle")
    String schedule;

    @Option(names = "--warmup", paramLabel = "N", description = "updates of linear rise; default 0")
    Integer warmup;

    @Option(names = "--augment", paramLabel = "A", description = "none, flip, crop or resized-crop, the last two also with +flip; default flip, for head none")
    String augment;

    @Option(names = "--label-smoothing", paramLabel = "X", description = "default 0")
    Double labelSmoothing;

    @Option(names = "--l2sp", paramLabel = "X", description = "pull to the pretrained weights; default 0")
    Double l2sp;

    @Option(names = "--dropout", paramLabel = "X", description = "before the head; default the model's own")
    Double dropout;

    @Option(names = "--drop-path", paramLabel = "X", description = "stochastic depth of vision transformers: rate of the last block; default 0")
    Double dropPath;

    @Option(names = "--lr-mult", paramLabel = "GLOB=X", description = "factor on the rate of what matches; may be given again")
    List<String> multipliers = List.of();

    @Option(names = "--layer-decay", paramLabel = "X", description = "factor on the rate from each layer group to the one below; default 1")
    Double layerDecay;

    @Option(names = "--bn", paramLabel = "B", description = "batch norms: frozen or train; default frozen where the layer is frozen")
    String norms;

    @Option(names = "--head", paramLabel = "H", description = "auto (default), keep or new")
    String head;

    @Option(names = "--patience", paramLabel = "N", description = "epochs without a better validation accuracy before the run stops; default 0: off")
    Integer patience;

    @Option(names = "--accumulate", paramLabel = "N", description = "batches an update; default 1")
    Integer accumulate;

    @Option(names = "--clip", paramLabel = "X", description = "largest norm of the gradients; default 0: off")
    Double clip;

    @Option(names = "--ema", paramLabel = "X", description = "share of a moving average of the weights that stays at an update; it is the result; default 0: off")
    Double average;

    @Option(names = "--val-fraction", paramLabel = "X", description = "share of each class for validation")
    Double valFraction;

    @Option(names = "--no-cache", description = "run frozen layers in every epoch instead of keeping their output")
    boolean noCache;

    @Mixin
    Preprocessing preprocessing;

    /** The run that these options describe. */
    FineTuningBuilder builder(CommonOptions common, CommonOptions.Machine machine) {
        FineTuningBuilder b = FineTuning.of(model).weights(weights).data(data).seed(common.seed()).device(machine.device())
                .threads(machine.threads()).precision(machine.precision()).cache(!noCache).preprocessing(preprocessing.keys()).preprocessing(preprocessing.file);
        put(strategy, b::strategy);
        put(epochs, b::epochs);
        put(batch, b::batch);
        put(rate, b::rate);
        put(optimizer, o -> b.optimizer(Choice.of("--optimizer", o, List.of("sgd", "adamw"))));
        put(momentum, b::momentum);
        put(weightDecay, b::weightDecay);
        put(schedule, s -> b.schedule(Choice.of("--schedule", s, Schedule.values())));
        put(warmup, b::warmup);
        put(augment, a -> b.augment(Choice.of("--augment", a, List.of("none", "flip", "crop", "crop+flip", "resized-crop", "resized-crop+flip"))));
        put(labelSmoothing, b::labelSmoothing);
        put(l2sp, b::l2sp);
        put(dropout, b::dropout);
        put(dropPath, b::dropPath);
        multipliers.forEach(b::rateMultiplier);
        put(layerDecay, b::layerDecay);
        put(norms, n -> b.batchNorm(BatchNormPolicy.valueOf(Choice.of("--bn", n, List.of("frozen", "train")).toUpperCase(Locale.ROOT))));
        put(head, h -> b.head(Choice.of("--head", h, HeadChoice.values())));
        put(patience, b::patience);
        put(accumulate, b::accumulate);
        put(clip, b::clip);
        put(average, b::average);
        put(valFraction, b::valFraction);
        return b;
    }

    private static <T> void put(T value, Consumer<T> setting) {
        if (value != null) {
            setting.accept(value);
        }
    }
}
