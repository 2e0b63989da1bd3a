package dev.graft.finetune;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.weights.Card;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What a run will do, worked out before its first step.
 *
 * @param settings resolved options
 * @param card preprocessing and where it came from
 * @param classes class names in label order
 * @param head {@code kept} or {@code new}
 * @param samples pictures by split; null for a split that is not there
 * @param stages of the method
 * @param parameters numbers in the network
 * @param memory bytes by group of the first stage's plan
 * @param secondsPerEpoch estimate by timing one step of the first stage, decoding not counted
 * @param featureSeconds estimate for computing the frozen layers' features once; 0 where they are not cached
 */
public record RunPlan(Settings settings, Card card, List<String> classes, String head, Map<String, Integer> samples,
                      List<StageTable> stages, long parameters, Map<String, Long> memory, double secondsPerEpoch, double featureSeconds) {
    /** Rows of a stage, one a layer group. */
    public record StageTable(int number, List<Row> rows) {
        /** Numbers that train in this stage. */
        public long trainable() {
            return rows.stream().mapToLong(Row::trainable).sum();
        }
    }

    /**
     * One layer group in a stage.
     *
     * @param group name of the layer group
     * @param parameters numbers in it, statistics not counted
     * @param trainable numbers that train
     * @param rate lowest and highest rate of these, "" if none
     * @param decay likewise
     * @param norms {@code frozen}, {@code batch} or "" where there are none
     * @param bytes of weights, gradients and moments of what trains
     */
    public record Row(String group, long parameters, long trainable, String rate, String decay, String norms, long bytes) {
    }

    /** Numbers that train in the last stage. */
    public long trainable() {
        return stages.get(stages.size() - 1).trainable();
    }

    /** Estimated seconds of the run; training time only. */
    public double seconds() {
        return featureSeconds + secondsPerEpoch * settings.train().epochs();
    }

    /** The table as the command prints it. */
    public String table() {
        StringBuilder t = new StringBuilder();
        t.append(String.format(Locale.ROOT, "%s, %s, %d classes, head %s%n", settings.model(), settings.method().text(), classes.size(), head));
        t.append("preprocessing: ").append(card).append(System.lineSeparator());
        t.append("pictures: ").append(samples).append(System.lineSeparator());
        t.append("options: ").append(settings.toJson()).append(System.lineSeparator());
        for (StageTable stage : stages) {
            t.append(stages.size() > 1 ? "stage " + stage.number() + System.lineSeparator() : "");
            t.append(String.format(Locale.ROOT, "  %-14s %12s %12s %18s %18s %8s %10s%n", "group", "parameters", "trainable", "rate", "decay", "norms", "KiB"));
            for (Row r : stage.rows()) {
                t.append(String.format(Locale.ROOT, "  %-14s %12d %12d %18s %18s %8s %10d%n", r.group(), r.parameters(), r.trainable(), r.rate(), r.decay(),
                        r.norms(), r.bytes() >> 10));
            }
        }
        t.append("memory (KiB):");
        memory.forEach((k, v) -> t.append(' ').append(k).append(' ').append(v >> 10));
        t.append(System.lineSeparator());
        t.append(String.format(Locale.ROOT, "%d of %d parameters train; about %.0f s%n", trainable(), parameters, seconds()));
        return t.toString();
    }

    /** The same as JSON. */
    public ObjectNode toJson() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.set("options", settings.toJson());
        json.put("card", card.toString()).put("head", head).put("parameters", parameters).put("trainable", trainable());
        json.put("seconds", seconds());
        ObjectNode counts = json.putObject("samples");
        samples.forEach(counts::put);
        ObjectNode bytes = json.putObject("memory");
        memory.forEach(bytes::put);
        var list = json.putArray("stages");
        for (StageTable stage : stages) {
            var rows = list.addObject().put("stage", stage.number()).putArray("groups");
            for (Row r : stage.rows()) {
                rows.addObject().put("group", r.group()).put("parameters", r.parameters()).put("trainable", r.trainable())
                        .put("rate", r.rate()).put("decay", r.decay()).put("norms", r.norms()).put("bytes", r.bytes());
            }
        }
        return json;
    }
}
