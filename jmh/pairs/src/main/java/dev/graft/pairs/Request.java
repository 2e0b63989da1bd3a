package dev.graft.pairs;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * What a measured process is asked to do; every side takes the same words on its command line:
 * {@code WORKLOAD --variant V --precision f32|bf16 --threads N --warmup N --steps N}.
 *
 * @param variant the side's own name for how it is set up, as in {@code tuned}
 * @param precision compute precision, {@code f32} or {@code bf16}
 * @param threads threads to compute with
 * @param warmup untimed steps before the timed ones
 * @param steps timed steps
 */
public record Request(Workload workload, String variant, String precision, int threads, int warmup, int steps) {

    public Request {
        if (!workload.precisions().contains(precision)) {
            throw new IllegalArgumentException(
                    workload.id() + " is measured in " + workload.precisions() + ", not in " + precision);
        }
        if (threads < 1 || warmup < 0 || steps < 1) {
            throw new IllegalArgumentException("expected at least 1 thread, 0 warm-up steps and 1 step, got "
                    + threads + ", " + warmup + " and " + steps);
        }
    }

    /** Reads the words that {@link #words()} writes. */
    public static Request parse(String... arguments) {
        if (arguments.length % 2 == 0) {
            throw new IllegalArgumentException("expected WORKLOAD followed by pairs of --name value, got "
                    + String.join(" ", arguments));
        }
        Workload workload = Workload.of(arguments[0]);
        Map<String, String> options = new TreeMap<>(Map.of(
                "--variant", "graft",
                "--precision", "f32",
                "--threads", "2",
                "--warmup", String.valueOf(workload.warmup()),
                "--steps", String.valueOf(workload.steps())));
        for (int i = 1; i < arguments.length; i += 2) {
            if (options.replace(arguments[i], arguments[i + 1]) == null) {
                throw new IllegalArgumentException("unknown option " + arguments[i] + "; there are " + options.keySet());
            }
        }
        return new Request(
                workload,
                options.get("--variant"),
                options.get("--precision"),
                Integer.parseInt(options.get("--threads")),
                Integer.parseInt(options.get("--warmup")),
                Integer.parseInt(options.get("--steps")));
    }

    List<String> words() {
        return List.of(
                workload.id(),
                "--variant", variant,
                "--precision", precision,
                "--threads", String.valueOf(threads),
                "--warmup", String.valueOf(warmup),
                "--steps", String.valueOf(steps));
    }
}
