package dev.graft.report;

import dev.graft.evaluate.Interval;
import java.util.List;
import java.util.Locale;
import java.util.Objects;

/** Renders a result table, with a strip that shows mean, interval and seeds of every strategy on one scale. */
final class Results {
    private Results() {}

    static void render(Html html, ResultTable table) {
        List<ResultTable.Row> rows = table.rows();
        boolean memory = rows.stream().map(ResultTable.Row::peakBytes).anyMatch(Objects::nonNull);
        Scale scale = Scale.of(rows);
        html.open("div", "class", "scroll", "tabindex", "0").open("table", "class", "results").open("thead").open("tr");
        html.element("th", "Strategy", "scope", "col");
        for (String column : List.of("Trainable", "Accuracy %", "95 % interval", "Seeds")) {
            html.element("th", column, "scope", "col", "class", "number");
        }
        html.open("th", "scope", "col", "class", "strip", "aria-hidden", "true");
        html.element("span", scale.low() + " %").element("span", scale.high() + " %").close();
        html.element("th", "Seconds", "scope", "col", "class", "number");
        if (memory) {
            html.element("th", "Peak MiB", "scope", "col", "class", "number");
        }
        html.close().close().open("tbody");
        for (ResultTable.Row row : rows) {
            row(html, row, scale, memory);
        }
        html.close().close().close();
        html.element("p", "Accuracy: mean over seeds. Interval: Student's t, 95 %, over seeds; in the strip the bar is the"
                + " interval, the line the mean, each dot one seed. Trainable: parameters that training changes, and their"
                + " share of all. Seconds: mean of one run.", "class", "caption");
    }

    private static void row(Html html, ResultTable.Row row, Scale scale, boolean memory) {
        double[] accuracies = row.accuracies().stream().mapToDouble(Double::doubleValue).toArray();
        Interval interval = Interval.of(accuracies);
        html.open("tr").open("th", "scope", "row").name(row.strategy()).close();
        html.open("td", "class", "number").text(Format.count(row.trainable()));
        html.element("small", " " + share(row.trainable(), row.parameters())).close();
        html.element("td", Format.percent(interval.mean()), "class", "number strong");
        html.element("td", interval.low() == null ? "one seed"
                : Format.percent(interval.low()) + " – " + Format.percent(interval.high()), "class", "number");
        html.element("td", Integer.toString(interval.count()), "class", "number");
        strip(html, interval, accuracies, scale);
        html.element("td", Format.seconds(row.seconds()), "class", "number");
        if (memory) {
            html.element("td", row.peakBytes() == null ? "–" : Format.mebibytes(row.peakBytes()), "class", "number");
        }
        html.close();
    }

    /** Hidden from screen readers: every figure of it stands in the row's other cells. */
    private static void strip(Html html, Interval interval, double[] accuracies, Scale scale) {
        html.open("td", "class", "strip", "aria-hidden", "true").open("svg", "viewBox", "0 0 200 20", "preserveAspectRatio", "none");
        if (interval.low() != null) {
            double left = scale.x(interval.low());
            html.empty("rect", "class", "interval", "x", format(left), "y", "5", "width",
                    format(Math.max(1, scale.x(interval.high()) - left)), "height", "10", "rx", "2").raw("</rect>");
        }
        String mean = format(scale.x(interval.mean()));
        html.empty("line", "class", "mean", "x1", mean, "x2", mean, "y1", "2", "y2", "18").raw("</line>");
        for (double accuracy : accuracies) {
            html.empty("circle", "cx", format(scale.x(accuracy)), "cy", "10", "r", "2.5").raw("</circle>");
        }
        html.close().close();
    }

    private static String share(long part, long whole) {
        return whole == 0 ? "" : String.format(Locale.ROOT, "%.1f %%", 100.0 * part / whole);
    }

    private static String format(double x) {
        return String.format(Locale.ROOT, "%.2f", x);
    }

    /** Horizontal scale of the strips: whole tens of per cent around all intervals, cut at 0 and 100; 200 units wide. */
    private record Scale(int low, int high) {
        static Scale of(List<ResultTable.Row> rows) {
            double low = 1;
            double high = 0;
            for (ResultTable.Row row : rows) {
                for (double accuracy : row.accuracies()) {
                    low = Math.min(low, accuracy);
                    high = Math.max(high, accuracy);
                }
                Interval interval = Interval.of(row.accuracies().stream().mapToDouble(Double::doubleValue).toArray());
                if (interval.low() != null) {
                    low = Math.min(low, interval.low());
                    high = Math.max(high, interval.high());
                }
            }
            int floor = (int) Math.floor(Math.max(0, low) * 10) * 10;
            int ceiling = (int) Math.ceil(Math.min(1, high) * 10) * 10;
            return new Scale(floor == ceiling ? Math.max(0, floor - 10) : floor, Math.max(10, ceiling));
        }

        double x(double accuracy) {
            return Math.max(0, Math.min(1, (100 * accuracy - low) / (high - low))) * 200;
        }
    }
}
