package dev.graft.finetune;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.graft.data.Split;
import dev.graft.engine.Optimizer;
import dev.graft.engine.Param;
import dev.graft.model.LayerGroup;
import dev.graft.train.StepProbe;
import dev.graft.tune.ParameterGroup;
import dev.graft.tune.Stage;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;

/** Works the plan table out: what each stage trains by layer group, and memory and time from a probe of the first stage. */
final class RunPlanner {
    private RunPlanner() {
    }

    static RunPlan of(Preparation p) {
        Map<String, Integer> samples = new LinkedHashMap<>();
        samples.put("train", size(p.dataset.train()));
        samples.put("val", size(p.dataset.val()));
        samples.put("test", size(p.dataset.test()));
        List<RunPlan.StageTable> tables = p.stages.stream().map(s -> table(p, s)).toList();
        StepProbe probe = StepProbe.of(p.network, p.stages.get(0), p.parameters, p.settings.train(), p.data.training().deterministic());
        int batches = (p.dataset.train().size() + p.settings.train().batch() - 1) / p.settings.train().batch();
        long parameters = p.network.graph().parameters().stream().filter(x -> !x.buffer()).mapToLong(Param::count).sum();
        return new RunPlan(p.settings, p.card, p.dataset.classes(), p.freshHead ? "new" : "kept", samples, tables, parameters,
                memory(probe.memory()), batches * probe.stepSeconds(), batches * probe.prefixSeconds());
    }

    private static Integer size(Split split) {
        return split == null ? null : split.size();
    }

    private static Map<String, Long> memory(String json) {
        try {
            Map<String, Long> bytes = new LinkedHashMap<>();
            JsonNode node = new ObjectMapper().readTree(json);
            node.properties().forEach(e -> bytes.put(e.getKey(), e.getValue().asLong()));
            return bytes;
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("the engine's memory report is no JSON: " + json, e);
        }
    }

    private static RunPlan.StageTable table(Preparation p, Stage stage) {
        Map<String, ParameterGroup> groupOf = new HashMap<>();
        stage.groups().forEach(g -> g.parameters().forEach(name -> groupOf.put(name, g)));
        Map<String, Param> params = new HashMap<>();
        p.network.graph().parameters().forEach(x -> params.put(x.value().name(), x));
        Optimizer rule = p.settings.train().optimizer();
        int moments = rule instanceof Optimizer.Sgd sgd ? (sgd.momentum() > 0 ? 1 : 0) : 2;
        List<RunPlan.Row> rows = new ArrayList<>();
        for (LayerGroup layer : p.network.groups()) {
            long all = 0;
            long trainable = 0;
            boolean statistics = false;
            boolean tracked = false;
            TreeSet<Double> rates = new TreeSet<>();
            TreeSet<Double> decays = new TreeSet<>();
            for (String name : layer.parameters()) {
                Param param = params.get(name);
                if (param.buffer()) {
                    statistics = true;
                    tracked |= stage.tracked().contains(name);
                    continue;
                }
                all += param.count();
                ParameterGroup group = groupOf.get(name);
                if (group != null) {
                    trainable += param.count();
                    rates.add(group.rate() * p.settings.train().rate());
                    decays.add(group.decay());
                }
            }
            rows.add(new RunPlan.Row(layer.name(), all, trainable, range(rates), range(decays), statistics ? (tracked ? "batch" : "frozen") : "",
                    4 * trainable * (2 + moments)));
        }
        return new RunPlan.StageTable(stage.number(), rows);
    }

    private static String range(TreeSet<Double> values) {
        if (values.isEmpty()) {
            return "";
        }
        String low = String.format(Locale.ROOT, "%.3g", values.first());
        String high = String.format(Locale.ROOT, "%.3g", values.last());
        return low.equals(high) ? low : low + ".." + high;
    }
}
