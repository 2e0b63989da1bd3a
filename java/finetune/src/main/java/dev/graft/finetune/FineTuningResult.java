package dev.graft.finetune;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.evaluate.Evaluation;
import dev.graft.train.EpochRecord;
import java.nio.file.Path;
import java.util.List;

/**
 * What a run came to.
 *
 * @param settings resolved options
 * @param out folder of the bundle; null where nothing was saved
 * @param seconds of the run
 * @param trainable numbers that trained in the last stage
 * @param parameters numbers in the network
 * @param val measured on the saved artefact; null without the split
 * @param test likewise, read once after the last epoch
 * @param bestEpoch epoch (from 1) with the best validation accuracy; 0 without validation
 * @param bestAccuracy of that epoch
 * @param interrupted whether the run was ended from outside
 * @param history one record an epoch
 * @param merged the adapter that was trained; null for methods without
 */
public record FineTuningResult(Settings settings, Path out, double seconds, long trainable, long parameters, Evaluation val, Evaluation test,
                               int bestEpoch, double bestAccuracy, boolean interrupted, List<EpochRecord> history, MergedAdapter merged) {
    /** Copies the history. */
    public FineTuningResult {
        history = List.copyOf(history);
    }

    /** The keys of the command's contract, but for the process's own memory. */
    public ObjectNode toJson() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("out", out == null ? null : out.toString()).put("strategy", settings.method().text()).put("seconds", seconds);
        json.put("trainable", trainable).put("parameters", parameters).put("interrupted", interrupted);
        if (val == null) {
            json.putNull("val");
        } else {
            ObjectNode node = val.toJson();
            node.put("best", bestAccuracy).put("best_epoch", bestEpoch).put("selected", settings.train().patience() > 0);
            json.set("val", node);
        }
        if (test == null) {
            json.putNull("test");
        } else {
            json.set("test", test.toJson());
        }
        if (merged != null) {
            json.set("merge", merged.toJson());
        }
        json.set("options", settings.toJson());
        json.set("history", historyJson(history));
        return json;
    }

    static com.fasterxml.jackson.databind.node.ArrayNode historyJson(List<EpochRecord> history) {
        var list = JsonNodeFactory.instance.arrayNode();
        for (EpochRecord e : history) {
            list.addObject().put("epoch", e.epoch()).put("stage", e.stage()).put("rate", e.rate()).put("loss", e.loss())
                    .put("accuracy", e.accuracy()).put("val_loss", e.valLoss()).put("val_accuracy", e.valAccuracy()).put("seconds", e.seconds())
                    .put("loader_wait_seconds", e.loaderWaitSeconds());
        }
        return list;
    }
}
