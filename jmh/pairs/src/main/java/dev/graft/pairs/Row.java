package dev.graft.pairs;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * One process in a results file.
 *
 * @param round which round of alternated processes it belonged to, from 0; rows of one round are paired
 * @param milliseconds median of its timed steps
 * @param peakKilobytes its VmHWM in KiB
 * @param settings what it ran with and what it found beside its times
 */
record Row(
        Workload workload,
        String precision,
        int round,
        String side,
        double milliseconds,
        long peakKilobytes,
        Map<String, String> settings) {
    static final String HEADER = "started,workload,precision,round,side,warmup,steps,threads,median_ms,min_ms,peak_kb,"
            + "others_percent,first_loss,last_loss,steps_ms,settings";

    /** What a restarted run looks for: this process need not run again. */
    String key() {
        return key(workload, precision, round, side);
    }

    static String key(Workload workload, String precision, int round, String side) {
        return workload.id() + " " + precision + " " + round + " " + side;
    }

    static Row parse(String line) {
        List<String> cells = Arrays.asList(line.split(",", -1));
        int expected = HEADER.split(",").length;
        if (cells.size() != expected) {
            throw new IllegalArgumentException("expected " + expected + " cells, got " + cells.size() + ": " + line);
        }
        return new Row(
                Workload.of(cells.get(1)),
                cells.get(2),
                Integer.parseInt(cells.get(3)),
                cells.get(4),
                Double.parseDouble(cells.get(8)),
                Long.parseLong(cells.get(10)),
                parseSettings(cells.get(15)));
    }

    private static Map<String, String> parseSettings(String cell) {
        Map<String, String> settings = new TreeMap<>();
        for (String pair : cell.split(";")) {
            int equals = pair.indexOf('=');
            if (equals > 0) {
                settings.put(pair.substring(0, equals), pair.substring(equals + 1));
            }
        }
        return settings;
    }

    /** The line of one process. Losses are the first, warm-up included, and the last; empty where there are none. */
    static String line(String started, Request request, int round, Measurement measurement) {
        double[] losses = measurement.losses();
        return String.join(
                ",",
                started,
                request.workload().id(),
                request.precision(),
                String.valueOf(round),
                request.variant(),
                String.valueOf(request.warmup()),
                String.valueOf(request.steps()),
                String.valueOf(request.threads()),
                number(measurement.medianMilliseconds()),
                number(measurement.leastMilliseconds()),
                String.valueOf(measurement.peakKilobytes()),
                number(measurement.othersPercent()),
                losses.length == 0 ? "" : String.valueOf(losses[0]),
                losses.length == 0 ? "" : String.valueOf(losses[losses.length - 1]),
                Arrays.stream(measurement.stepMilliseconds()).mapToObj(Row::number).collect(Collectors.joining(";")),
                settings(measurement.settings()));
    }

    private static String settings(Map<String, String> settings) {
        return settings.entrySet().stream()
                .map(entry -> (entry.getKey() + "=" + entry.getValue()).replaceAll("[,;\\s]+", " "))
                .collect(Collectors.joining(";"));
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, "%.3f", value);
    }
}
