package dev.graft.pairs;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleBiFunction;

/** The paired ratios and own figures of a results file, each with its interval and, where the speed list has one, its bound. */
final class Summary {
    static final String HEADER = "workload,precision,against,metric,median,low,high,coverage,pairs,graft_median,"
            + "other_median,bound,met";

    private Summary() {}

    /** Lines of CSV, the header first. Times are in milliseconds, memory in KiB; a workload without pairs has no line. */
    static List<String> of(List<Row> rows) {
        List<String> lines = new ArrayList<>(List.of(HEADER));
        for (Workload workload : Workload.values()) {
            for (String precision : workload.precisions()) {
                for (Side against : List.of(Side.TUNED, Side.UNTUNED, Side.CEILING)) {
                    List<Row[]> pairs = pairs(rows, workload, precision, against);
                    if (pairs.isEmpty()) {
                        continue;
                    }
                    lines.add(line(workload, precision, against, Goal.SPEED, pairs,
                            (graft, other) -> other.milliseconds() / graft.milliseconds()));
                    if (against != Side.CEILING) {
                        lines.add(line(workload, precision, against, Goal.MEMORY, pairs,
                                (graft, other) -> (double) graft.peakKilobytes() / other.peakKilobytes()));
                    }
                }
            }
        }
        for (Goal goal : Goal.ALL) {
            double[] values = rows.stream().filter(row -> row.side().equals(Side.GRAFT.id()))
                    .filter(row -> goal.against() == Side.GRAFT && row.workload() == goal.workload())
                    .filter(row -> row.precision().equals(goal.precision()) && row.settings().containsKey(goal.metric()))
                    .mapToDouble(row -> Double.parseDouble(row.settings().get(goal.metric())))
                    .toArray();
            if (values.length > 0) {
                PairedRatio figure = PairedRatio.of(values);
                lines.add(line(goal.workload(), goal.precision(), Side.GRAFT, goal.metric(), figure, figure.median(), "", goal));
            }
        }
        return lines;
    }

    /** Graft's row and the other side's of each round that has both. */
    private static List<Row[]> pairs(List<Row> rows, Workload workload, String precision, Side against) {
        List<Row[]> pairs = new ArrayList<>();
        for (Row graft : rows) {
            if (graft.workload() != workload || !graft.precision().equals(precision) || !graft.side().equals("graft")) {
                continue;
            }
            String key = Row.key(workload, precision, graft.round(), against.id());
            rows.stream().filter(row -> row.key().equals(key)).findFirst().ifPresent(other -> pairs.add(new Row[] {graft, other}));
        }
        return pairs;
    }

    private static String line(
            Workload workload,
            String precision,
            Side against,
            String metric,
            List<Row[]> pairs,
            ToDoubleBiFunction<Row, Row> ratio) {
        PairedRatio result =
                PairedRatio.of(pairs.stream().mapToDouble(pair -> ratio.applyAsDouble(pair[0], pair[1])).toArray());
        Goal goal = Goal.ALL.stream()
                .filter(g -> g.workload() == workload && g.precision().equals(precision))
                .filter(g -> g.against() == against && g.metric().equals(metric))
                .findFirst()
                .orElse(null);
        return line(workload, precision, against, metric, result, middle(pairs, 0, metric),
                number(middle(pairs, 1, metric)), goal);
    }

    private static String line(
            Workload workload,
            String precision,
            Side against,
            String metric,
            PairedRatio result,
            double graft,
            String other,
            Goal goal) {
        return String.join(
                ",",
                workload.id(),
                precision,
                against.id(),
                metric,
                number(result.median()),
                number(result.low()),
                number(result.high()),
                number(result.coverage()),
                String.valueOf(result.pairs()),
                number(graft),
                other,
                goal == null ? "" : String.valueOf(goal.bound()),
                goal == null ? "" : goal.metBy(result.median()) ? "yes" : "no");
    }

    private static double middle(List<Row[]> pairs, int side, String metric) {
        return PairedRatio.median(pairs.stream()
                .map(pair -> pair[side])
                .mapToDouble(row -> metric.equals(Goal.SPEED) ? row.milliseconds() : row.peakKilobytes())
                .toArray());
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, "%.3f", value);
    }
}
