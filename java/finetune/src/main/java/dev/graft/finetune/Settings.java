package dev.graft.finetune;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.data.Augmentation;
import dev.graft.engine.Optimizer;
import dev.graft.train.TrainOptions;
import dev.graft.tune.Method;
import dev.graft.tune.RateRule;
import java.nio.file.Path;
import java.util.Locale;
import java.util.OptionalDouble;

/**
 * Everything a run was asked for, with the defaults filled in.
 *
 * @param model name of the architecture
 * @param weights checkpoint or bundle; null for {@code scratch}
 * @param data folder or zip of pictures
 * @param method of fine-tuning
 * @param train how it trains
 * @param augmentation of training pictures
 * @param head what becomes of the file's head
 * @param valFraction share carved out for validation; empty for the data set's own rule
 * @param out folder of the result
 * @param overwrite whether an old result there is replaced
 * @param device that computes, as {@link dev.graft.engine.Device#open(String, int, int)} names it
 * @param threads of the engine and of the loader
 */
public record Settings(String model, Path weights, Path data, Method method, TrainOptions train, Augmentation augmentation,
                       HeadChoice head, OptionalDouble valFraction, Path out, boolean overwrite, String device, int threads) {
    /** All resolved values, under the names of the command's options. */
    public ObjectNode toJson() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("model", model).put("weights", weights == null ? null : weights.toString()).put("data", data.toString());
        json.put("strategy", method.text()).put("epochs", train.epochs()).put("batch", train.batch()).put("lr", train.rate());
        if (train.optimizer() instanceof Optimizer.Sgd sgd) {
            json.put("optimizer", "sgd").put("momentum", sgd.momentum());
        } else {
            json.put("optimizer", train.optimizer() instanceof Optimizer.AdamW ? "adamw" : "adam");
        }
        json.put("weight-decay", train.weightDecay()).put("schedule", lower(train.schedule())).put("warmup", train.warmup());
        json.put("augment", augmentation.toString()).put("label-smoothing", train.labelSmoothing()).put("l2sp", train.l2sp());
        json.put("dropout", Double.isNaN(train.dropout()) ? null : train.dropout()).put("drop-path", train.dropPath());
        var multipliers = json.putArray("lr-mult");
        for (RateRule.Multiplier m : train.rates().multipliers()) {
            multipliers.add(m.pattern().text() + "=" + m.factor());
        }
        json.put("layer-decay", train.rates().layerDecay()).put("bn", lower(train.norms())).put("head", lower(head));
        json.put("patience", train.patience()).put("accumulate", train.accumulate()).put("clip", train.clip()).put("ema", train.average());
        json.put("val-fraction", valFraction.isPresent() ? valFraction.getAsDouble() : null);
        json.put("precision", lower(train.precision())).put("cache", train.cache()).put("seed", train.seed());
        return json.put("device", device).put("threads", threads).put("out", out == null ? null : out.toString());
    }

    private static String lower(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT);
    }
}
