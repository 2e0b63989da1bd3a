package dev.graft.jmh;

import dev.graft.pairs.Measurement;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/**
 * What the machine allows, measured by {@code jmh/ceilings} in a process of its own right before a fork's first iteration:
 * oneDNN's product of these sizes in its best layout, or {@code x = a * x} in place over as many bytes.
 */
public final class Ceiling {
    private static final Path PROGRAM = Path.of("jmh/target/ceilings/ceilings");

    /** Seconds that the machine needs for one call. */
    final double seconds;

    private Ceiling(double seconds) {
        this.seconds = seconds;
    }

    static Ceiling product(long m, long n, long k, int threads) {
        return measure("matmul:" + m + "x" + n + "x" + k, threads);
    }

    /** {@code bytes} are all that is read and written. */
    static Ceiling traffic(long bytes, int threads) {
        return measure("scale:" + bytes, threads);
    }

    private static Ceiling measure(String workload, int threads) {
        if (!Files.isExecutable(PROGRAM)) {
            throw new IllegalStateException(PROGRAM + " is not built, or this is not the root of the repository; jmh/README.md"
                    + " says how to build it");
        }
        try {
            Process process = new ProcessBuilder(List.of(PROGRAM.toString(), workload, "--threads", String.valueOf(threads),
                    "--warmup", "3", "--steps", "25")).redirectErrorStream(true).start();
            String line = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
            if (process.waitFor() != 0) {
                throw new IllegalStateException(line);
            }
            double seconds = Measurement.parse(line).medianMilliseconds() / 1000;
            System.out.printf("ceiling %s: %.3f ms%n", workload, 1000 * seconds);
            return new Ceiling(seconds);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot run " + PROGRAM, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while the ceiling was measured", e);
        }
    }

    /** What a benchmark reports beside its calls per second. */
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    public static class Rate {
        /** Multiplications and additions, in thousand millions a second. */
        public double gigaflops;
        /** Bytes that have to be read and written, in thousand millions a second. */
        public double gigabytes;
        /** Time that the machine needs for what was done, by time that it took: 1 = the ceiling. */
        public double shareOfCeiling;

        void products(double flops, Ceiling ceiling) {
            gigaflops += 1e-9 * flops;
            shareOfCeiling += ceiling.seconds;
        }

        void traffic(double bytes, Ceiling ceiling) {
            gigabytes += 1e-9 * bytes;
            shareOfCeiling += ceiling.seconds;
        }
    }
}
