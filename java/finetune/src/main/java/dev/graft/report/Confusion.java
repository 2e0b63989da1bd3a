package dev.graft.report;

import dev.graft.evaluate.ConfusionMatrix;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;

/** Renders a confusion matrix as a shaded table, or its largest entries where it would not fit. */
final class Confusion {
    private static final int MOST_CLASSES = 24;
    private static final int MOST_PAIRS = 25;

    private Confusion() {}

    static void render(Html html, ConfusionTable section) {
        ConfusionMatrix matrix = section.matrix();
        html.open("p").text(Format.count(matrix.correct()) + " of " + Format.count(matrix.samples()) + " right, "
                + Format.percent(matrix.accuracy()) + " %.").close();
        html.open("div", "class", "scroll", "tabindex", "0");
        if (matrix.classes() <= MOST_CLASSES) {
            matrix(html, section.classes(), matrix);
        } else {
            pairs(html, section.classes(), matrix);
        }
        html.close();
    }

    private static void matrix(Html html, List<String> names, ConfusionMatrix matrix) {
        html.open("table", "class", "confusion").element("caption", "Rows: true class. Columns: predicted class. Shade: share of the row.");
        html.open("thead").open("tr").element("th", "true \\ predicted", "scope", "col");
        names.forEach(name -> html.open("th", "scope", "col", "class", "number").name(name).close());
        html.element("th", "Recall %", "scope", "col", "class", "number").close().close().open("tbody");
        for (int truth = 0; truth < matrix.classes(); truth++) {
            html.open("tr").open("th", "scope", "row").name(names.get(truth)).close();
            for (int predicted = 0; predicted < matrix.classes(); predicted++) {
                long n = matrix.count(truth, predicted);
                double share = matrix.support(truth) == 0 ? 0 : (double) n / matrix.support(truth);
                html.element("td", Format.count(n), "class", truth == predicted ? "number cell hit" : "number cell miss",
                        "style", String.format(Locale.ROOT, "--share:%.3f", share));
            }
            html.element("td", Format.percent(matrix.recall(truth)), "class", "number").close();
        }
        html.open("tr").element("th", "Precision %", "scope", "row");
        for (int c = 0; c < matrix.classes(); c++) {
            html.element("td", Format.percent(matrix.precision(c)), "class", "number");
        }
        html.element("td", "").close().close().close();
    }

    private static void pairs(Html html, List<String> names, ConfusionMatrix matrix) {
        record Pair(int truth, int predicted, long count) {}
        List<Pair> pairs = new ArrayList<>();
        for (int truth = 0; truth < matrix.classes(); truth++) {
            for (int predicted = 0; predicted < matrix.classes(); predicted++) {
                if (truth != predicted && matrix.count(truth, predicted) > 0) {
                    pairs.add(new Pair(truth, predicted, matrix.count(truth, predicted)));
                }
            }
        }
        pairs.sort(Comparator.comparingLong(Pair::count).reversed());
        html.open("table").element("caption", "The most frequent confusions of " + matrix.classes() + " classes.");
        html.open("thead").open("tr").element("th", "True class", "scope", "col").element("th", "Predicted as", "scope", "col");
        html.element("th", "Samples", "scope", "col", "class", "number").element("th", "Of", "scope", "col", "class", "number");
        html.close().close().open("tbody");
        for (Pair pair : pairs.subList(0, Math.min(MOST_PAIRS, pairs.size()))) {
            html.open("tr").open("td").name(names.get(pair.truth())).close();
            html.open("td").name(names.get(pair.predicted())).close();
            html.element("td", Format.count(pair.count()), "class", "number");
            html.element("td", Format.count(matrix.support(pair.truth())), "class", "number").close();
        }
        html.close().close();
    }
}
