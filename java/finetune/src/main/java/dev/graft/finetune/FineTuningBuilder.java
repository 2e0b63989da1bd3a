package dev.graft.finetune;

import dev.graft.data.Augmentation;
import dev.graft.engine.Device;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Precision;
import dev.graft.train.Schedule;
import dev.graft.train.TrainOptions;
import dev.graft.tune.BatchNormPolicy;
import dev.graft.tune.Method;
import dev.graft.tune.RateRule;
import dev.graft.tune.Strategy;
import dev.graft.weights.CardKeys;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;

/**
 * Gathers what a run needs; what is not given takes the command's default. Names and meanings are those of the command's
 * options. Not thread-safe.
 */
public final class FineTuningBuilder {
    private final String model;
    private Path weights;
    private Path data;
    private Method method = new Method.Full();
    private int epochs = 10;
    private int batch = 32;
    private double rate = 0.01;
    private String optimizer = "sgd";
    private double momentum = 0.9;
    private Double weightDecay;
    private Schedule schedule;
    private int warmup;
    private Augmentation augmentation;
    private double labelSmoothing;
    private double l2sp;
    private double dropout = Double.NaN;
    private double dropPath;
    private final List<RateRule.Multiplier> multipliers = new ArrayList<>();
    private double layerDecay = 1;
    private BatchNormPolicy norms = BatchNormPolicy.AUTO;
    private HeadChoice head = HeadChoice.AUTO;
    private int patience;
    private int accumulate = 1;
    private double clip;
    private double average;
    private OptionalDouble valFraction = OptionalDouble.empty();
    private Precision precision = Precision.F32;
    private boolean cache = true;
    private long seed;
    private String device = "cpu";
    private int threads = Device.defaultThreads();
    private Path out;
    private boolean overwrite;
    private CardKeys preprocessing = CardKeys.NONE;
    private Path preprocessFile;

    FineTuningBuilder(String model) {
        this.model = model;
    }

    /** A checkpoint (safetensors, .pth, .th, .pt, .tar) or a former bundle; needed by every strategy but scratch. */
    public FineTuningBuilder weights(Path file) {
        weights = file;
        return this;
    }

    /** A folder per class, or a zip of one; with {@code train}, {@code val}, {@code test} folders above where there are splits. */
    public FineTuningBuilder data(Path folderOrZip) {
        data = folderOrZip;
        return this;
    }

    /** {@code scratch}, {@code head}, {@code partial:from=layer4}, {@code gradual:every=2}, {@code lora:r=8}, {@code full}; default full. */
    public FineTuningBuilder strategy(String text) {
        method = Strategy.parse(text);
        return this;
    }

    /** Passes over the training pictures; default 10. */
    public FineTuningBuilder epochs(int count) {
        epochs = count;
        return this;
    }

    /** Pictures a step; default 32. */
    public FineTuningBuilder batch(int pictures) {
        batch = pictures;
        return this;
    }

    /** Rate; default 0.01. */
    public FineTuningBuilder rate(double value) {
        rate = value;
        return this;
    }

    /** {@code sgd} (default) or {@code adamw}. */
    public FineTuningBuilder optimizer(String name) {
        if (!name.equals("sgd") && !name.equals("adamw")) {
            throw new IllegalArgumentException("optimizer is " + name + ", expected sgd or adamw");
        }
        optimizer = name;
        return this;
    }

    /** Momentum of SGD; default 0.9. */
    public FineTuningBuilder momentum(double value) {
        momentum = value;
        return this;
    }

    /** Decay of matrices and filters; default 1e-3 for {@code head}, else 1e-4. */
    public FineTuningBuilder weightDecay(double value) {
        weightDecay = value;
        return this;
    }

    /** Default constant for {@code head}, else cosine. */
    public FineTuningBuilder schedule(Schedule value) {
        schedule = value;
        return this;
    }

    /** Updates of linear rise; default 0. */
    public FineTuningBuilder warmup(int updates) {
        warmup = updates;
        return this;
    }

    /** {@code none}, {@code flip}, {@code crop}, {@code resized-crop}, each of the last two with {@code +flip}; default none for head, else flip. */
    public FineTuningBuilder augment(String text) {
        augmentation = Augmentation.parse(text);
        return this;
    }

    /** Default 0. */
    public FineTuningBuilder labelSmoothing(double share) {
        labelSmoothing = share;
        return this;
    }

    /** Strength of the pull to the pretrained weights; default 0. */
    public FineTuningBuilder l2sp(double strength) {
        l2sp = strength;
        return this;
    }

    /** Dropout before the head; default the model's own. */
    public FineTuningBuilder dropout(double share) {
        dropout = share;
        return this;
    }

    /** Stochastic depth: rate at which the last block's branches are left out of a sample, falling to 0 at the first; default 0. */
    public FineTuningBuilder dropPath(double share) {
        dropPath = share;
        return this;
    }

    /** A factor on the rate of what matches, as {@code GLOB=X}; may be given again. */
    public FineTuningBuilder rateMultiplier(String text) {
        multipliers.add(RateRule.Multiplier.parse(text));
        return this;
    }

    /** Factor on the rate from each layer group to the one below; default 1. */
    public FineTuningBuilder layerDecay(double factor) {
        layerDecay = factor;
        return this;
    }

    /** Default: frozen where the norm is frozen. */
    public FineTuningBuilder batchNorm(BatchNormPolicy policy) {
        norms = policy;
        return this;
    }

    /** Default auto. */
    public FineTuningBuilder head(HeadChoice choice) {
        head = choice;
        return this;
    }

    /** Epochs without a better validation accuracy before the run stops with its best epoch; default 0: off. */
    public FineTuningBuilder patience(int count) {
        patience = count;
        return this;
    }

    /** Batches whose gradients make one update; default 1. */
    public FineTuningBuilder accumulate(int batches) {
        accumulate = batches;
        return this;
    }

    /** Largest norm of the gradients; default 0: no clipping. */
    public FineTuningBuilder clip(double norm) {
        clip = norm;
        return this;
    }

    /** How much of a moving average of the weights stays at an update, for example 0.999; the average is the result. Default 0: none. */
    public FineTuningBuilder average(double share) {
        average = share;
        return this;
    }

    /** Share of the training pictures carved out for validation. */
    public FineTuningBuilder valFraction(double share) {
        valFraction = OptionalDouble.of(share);
        return this;
    }

    /** Default F32. */
    public FineTuningBuilder precision(Precision value) {
        precision = value;
        return this;
    }

    /** Whether features of frozen layers may be kept between epochs; default true. */
    public FineTuningBuilder cache(boolean on) {
        cache = on;
        return this;
    }

    /** Default 0. */
    public FineTuningBuilder seed(long value) {
        seed = value;
        return this;
    }

    /** What computes: {@code cpu} (default), or {@code cuda:N} as {@link Device#open(String, int, int)} takes it. */
    public FineTuningBuilder device(String name) {
        device = name;
        return this;
    }

    /** Default what the container may use. */
    public FineTuningBuilder threads(int count) {
        threads = count;
        return this;
    }

    /** Folder of the result; must be absent or empty. Without one nothing is saved. */
    public FineTuningBuilder out(Path folder) {
        out = folder;
        return this;
    }

    /** Replaces an old result once the new one is complete. */
    public FineTuningBuilder overwrite(boolean on) {
        overwrite = on;
        return this;
    }

    /** Keys of the preprocessing card that hold before all others. */
    public FineTuningBuilder preprocessing(CardKeys keys) {
        preprocessing = keys;
        return this;
    }

    /** A JSON file with keys of the preprocessing card. */
    public FineTuningBuilder preprocessing(Path file) {
        preprocessFile = file;
        return this;
    }

    /**
     * Opens model, weights and data and works out what will train.
     *
     * @throws IllegalArgumentException for options that are wrong or do not go together
     * @throws dev.graft.weights.WeightsException for weights that do not fit
     * @throws dev.graft.data.DataException for data that cannot be used
     */
    public FineTuning open() {
        if (data == null) {
            throw new IllegalArgumentException("no data: expected a folder or zip file of pictures");
        }
        if (weights == null && method.pretrained()) {
            throw new IllegalArgumentException("strategy " + method.text() + " needs weights: only scratch starts without");
        }
        boolean headOnly = method.headOnly();
        Optimizer rule = optimizer.equals("sgd") ? new Optimizer.Sgd(momentum, false) : new Optimizer.AdamW();
        Schedule rates = schedule != null ? schedule : headOnly ? Schedule.CONSTANT : Schedule.COSINE;
        TrainOptions train = new TrainOptions(epochs, batch, rate, rule, weightDecay != null ? weightDecay : headOnly ? 1e-3 : 1e-4,
                rates, warmup, labelSmoothing, l2sp, dropout, dropPath, new RateRule(multipliers, layerDecay), norms, patience, accumulate, clip, average,
                precision, cache, seed);
        Augmentation pictures = augmentation != null ? augmentation : Augmentation.parse(headOnly ? "none" : "flip");
        Settings settings = new Settings(model, method.pretrained() ? weights : null, data, method, train, pictures, head, valFraction, out,
                overwrite, device, threads);
        return FineTuning.open(settings, preprocessing, preprocessFile);
    }
}
