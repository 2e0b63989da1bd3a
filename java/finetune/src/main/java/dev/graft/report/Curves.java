package dev.graft.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** Renders learning curves: the data that {@code report.js} draws, and a table of the same values. */
final class Curves {
    private Curves() {}

    static void render(Html html, LearningCurves section) {
        TreeSet<Integer> epochs = new TreeSet<>();
        Map<String, List<LearningCurves.Curve>> strategies = new LinkedHashMap<>();
        for (LearningCurves.Curve curve : section.curves()) {
            epochs.addAll(curve.values().keySet());
            strategies.computeIfAbsent(curve.strategy(), s -> new ArrayList<>()).add(curve);
        }
        html.open("figure", "class", "chart");
        html.open("div", "class", "plot").close();
        html.open("script", "type", "application/json").raw(json(section, epochs, strategies)).close();
        html.open("figcaption", "class", "caption")
                .text("Thick lines: mean over seeds. Thin lines: one seed each. A click on a name hides or shows it.").close();
        html.close();
        html.open("details").element("summary", "Table of values");
        table(html, section, epochs);
        html.close();
    }

    /** {@code <} only occurs inside JSON strings; written as an escape it cannot end the script element. */
    private static String json(
            LearningCurves section, TreeSet<Integer> epochs, Map<String, List<LearningCurves.Curve>> strategies) {
        ObjectNode data = JsonNodeFactory.instance.objectNode();
        data.put("measure", section.measure()).put("percent", section.percent());
        ArrayNode x = data.putArray("epochs");
        epochs.forEach(x::add);
        ArrayNode groups = data.putArray("strategies");
        strategies.forEach((name, curves) -> {
            ObjectNode group = groups.addObject().put("name", name);
            ArrayNode mean = group.putArray("mean");
            epochs.forEach(epoch -> mean.add(finite(mean(curves, epoch))));
            ArrayNode seeds = group.putArray("seeds");
            for (LearningCurves.Curve curve : curves) {
                ArrayNode values = seeds.addObject().put("seed", curve.seed()).putArray("values");
                epochs.forEach(epoch -> values.add(finite(curve.values().get(epoch))));
            }
        });
        return data.toString().replace("<", "\\u003c");
    }

    /** The mean over seeds, {@code null} where a seed has no value: a mean of fewer would jump. */
    private static Double mean(List<LearningCurves.Curve> curves, int epoch) {
        double sum = 0;
        for (LearningCurves.Curve curve : curves) {
            Double value = curve.values().get(epoch);
            if (value == null) {
                return null;
            }
            sum += value;
        }
        return sum / curves.size();
    }

    private static Double finite(Double value) {
        return value == null || !Double.isFinite(value) ? null : value;
    }

    private static void table(Html html, LearningCurves section, TreeSet<Integer> epochs) {
        html.open("div", "class", "scroll", "tabindex", "0").open("table").open("caption");
        html.text(section.measure() + (section.percent() ? ", %" : "")).close();
        html.open("thead").open("tr").element("th", "Strategy", "scope", "col").element("th", "Seed", "scope", "col", "class", "number");
        epochs.forEach(epoch -> html.element("th", "Epoch " + epoch, "scope", "col", "class", "number"));
        html.close().close().open("tbody");
        for (LearningCurves.Curve curve : section.curves()) {
            html.open("tr").open("th", "scope", "row").name(curve.strategy()).close();
            html.element("td", Long.toString(curve.seed()), "class", "number");
            for (int epoch : epochs) {
                html.element("td", cell(curve.values().get(epoch), section.percent()), "class", "number");
            }
            html.close();
        }
        html.close().close().close();
    }

    private static String cell(Double value, boolean percent) {
        if (value == null) {
            return "–";
        }
        if (!Double.isFinite(value)) {
            return value.toString();
        }
        return percent ? Format.percent(value) : Format.decimal(value);
    }
}
