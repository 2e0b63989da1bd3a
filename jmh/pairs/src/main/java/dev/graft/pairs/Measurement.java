package dev.graft.pairs;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;

/**
 * What one measured process reports, as one line of JSON on its standard output. Every side of a comparison prints the
 * same line, so that {@link Pairs} knows nothing of them.
 *
 * @param stepMilliseconds wall time of each timed step, in order
 * @param peakKilobytes VmHWM of the process after the last step, in KiB
 * @param othersPercent processor time that other processes and the host took while the timed steps ran, as a share of
 *     all processors; a large one means that the times say little
 * @param losses the loss of each step, warm-up included; empty where the workload has none
 * @param settings what the side ran with: threads, precision, versions, counts of parameters; of a JVM also the bytes of
 *     heap that a timed step allocated
 */
public record Measurement(
        double[] stepMilliseconds,
        long peakKilobytes,
        double othersPercent,
        double[] losses,
        Map<String, String> settings) {

    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    public Measurement {
        if (stepMilliseconds.length == 0) {
            throw new IllegalArgumentException("a measurement needs at least one timed step, got none");
        }
        settings = new TreeMap<>(settings);
    }

    /**
     * Runs {@code warmup} steps untimed, then {@code steps} timed ones.
     *
     * @throws IllegalStateException if a loss is not a finite number
     */
    public static Measurement of(Step step, int warmup, int steps, Map<String, String> settings) {
        double[] losses = new double[warmup + steps];
        double[] milliseconds = new double[steps];
        for (int i = 0; i < warmup; i++) {
            losses[i] = step.run();
        }
        double machine = ProcessCounters.machineSeconds();
        double own = ProcessCounters.ownSeconds();
        long allocated = allocatedBytes();
        long start = System.nanoTime();
        long before = start;
        for (int i = 0; i < steps; i++) {
            losses[warmup + i] = step.run();
            long now = System.nanoTime();
            double counted = step.countedMilliseconds();
            milliseconds[i] = counted < 0 ? (now - before) / 1e6 : counted;
            before = now;
        }
        allocated = allocatedBytes() - allocated;
        double available = (before - start) / 1e9 * Runtime.getRuntime().availableProcessors();
        double others = ProcessCounters.machineSeconds() - machine - (ProcessCounters.ownSeconds() - own);
        for (int i = 0; i < losses.length; i++) {
            if (!Double.isFinite(losses[i])) {
                throw new IllegalStateException("the loss of step " + i + " is " + losses[i] + ", expected a finite number");
            }
        }
        Map<String, String> all = new TreeMap<>(settings);
        all.put("java_bytes_per_step", String.valueOf(allocated / steps));
        return new Measurement(
                milliseconds, ProcessCounters.peakMemory(), Math.max(0, 100 * others / available), losses, all);
    }

    /** Bytes of Java heap this thread has allocated so far. */
    private static long allocatedBytes() {
        return THREADS.getCurrentThreadAllocatedBytes();
    }

    /** The median of the timed steps, in milliseconds. */
    public double medianMilliseconds() {
        return PairedRatio.median(stepMilliseconds);
    }

    /** The fastest of the timed steps, in milliseconds. */
    public double leastMilliseconds() {
        return Arrays.stream(stepMilliseconds).min().orElseThrow();
    }

    /** This measurement as one line of JSON. */
    public String json() {
        try {
            return JsonMapper.builder().build().writeValueAsString(this);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a measurement does not become JSON", e);
        }
    }

    /**
     * Reads a line written by {@link #json()}, or by a program in another language that follows it.
     *
     * @throws IllegalArgumentException if the line is no measurement
     */
    public static Measurement parse(String line) {
        try {
            return JsonMapper.builder().build().readValue(line, Measurement.class);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("expected one line of JSON with a measurement, got: " + line, e);
        }
    }
}
