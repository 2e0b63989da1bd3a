package dev.graft.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.model.Architecture;
import dev.graft.model.LowRankAdapter;
import dev.graft.model.Models;
import dev.graft.weights.Bundle;
import dev.graft.weights.PeftConfig;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.StoredTensor;
import dev.graft.weights.WeightsException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/** What the folder of a low-rank adapter holds, and whether it fits a network. */
final class AdapterInspection {
    private AdapterInspection() {
    }

    /** @param asked the network to compare with; null for the one that the folder names */
    static ObjectNode of(Path folder, Architecture asked, Terminal terminal) {
        try (PeftFolder peft = PeftFolder.open(folder)) {
            terminal.say(peft.toString());
            ObjectNode json = JsonNodeFactory.instance.objectNode().put("file", folder.toString()).put("format", "PEFT");
            settings(peft, terminal, json);
            ArrayNode layers = json.putArray("layers");
            for (PeftFolder.Layer layer : peft.layers()) {
                terminal.say(String.format("  %-50s rank %-3d factor %-8.4g A %s B %s", layer.module(), layer.rank(), layer.factor(),
                        Arrays.toString(layer.a().dims()), Arrays.toString(layer.b().dims())));
                layers.addObject().put("module", layer.module()).put("rank", layer.rank()).put("factor", layer.factor());
            }
            ArrayNode whole = json.putArray("whole");
            for (StoredTensor tensor : peft.saved()) {
                terminal.say(String.format("  %-50s whole, %s", tensor.name(), Arrays.toString(tensor.dims())));
                whole.add(tensor.name());
            }
            ObjectNode metadata = json.putObject("metadata");
            peft.file().metadata().forEach((key, value) -> {
                metadata.put(key, value);
                terminal.say("metadata " + key + ": " + value);
            });
            fit(peft, asked, terminal, json);
            return json;
        }
    }

    private static void settings(PeftFolder peft, Terminal terminal, ObjectNode json) {
        PeftConfig config = peft.config();
        terminal.say(String.format("%,d bytes of tensors; base %s", peft.bytes(), config.base() == null ? "not named" : config.base()));
        json.put("bytes", peft.bytes()).put("base", config.base()).put("rank_stabilised", config.rankStabilised()).put("dropout", config.dropout());
        ArrayNode ignored = json.putArray("ignored");
        for (String key : config.ignored()) {
            terminal.say("setting " + key + " is unknown and ignored");
            ignored.add(key);
        }
    }

    private static void fit(PeftFolder peft, Architecture asked, Terminal terminal, ObjectNode json) {
        String name = asked != null ? asked.name() : peft.file().metadata().get(Bundle.MODEL_KEY);
        if (name == null || !Models.names().contains(name)) {
            json.putNull("report");
            return;
        }
        Architecture architecture = Models.named(name);
        List<String> classes = Bundle.classNames(peft.file());
        ObjectNode report = json.putObject("report").put("model", name);
        try {
            LowRankAdapter.of(architecture.network(architecture.imageSize(), classes.isEmpty() ? architecture.classes() : classes.size()), peft, null);
            terminal.say("fits " + name);
            report.put("exact", true);
        } catch (WeightsException e) {
            terminal.say(e.getMessage());
            report.put("exact", false).put("problem", e.getMessage());
        }
    }
}
