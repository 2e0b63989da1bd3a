package dev.graft.jmh.gpu;

import dev.graft.engine.Device;
import dev.graft.engine.UnavailableException;
import java.io.IOException;
import java.util.Arrays;
import java.util.Set;

/** Starts JMH where there is a GPU to measure on, and says why there is none in one line, not once a benchmark. */
public final class Benchmarks {
    // what JMH prints without running anything
    private static final Set<String> PRINTED = Set.of("-h", "-l", "-lp", "-lprof", "-lrf");

    private Benchmarks() {}

    /** Arguments are JMH's. */
    public static void main(String[] arguments) throws IOException {
        if (Arrays.stream(arguments).noneMatch(PRINTED::contains)) {
            try {
                Device.check("cuda");
            } catch (UnavailableException e) {
                System.err.println("graft-gpu-benchmarks: nothing to measure on: " + e.getMessage());
                System.exit(2);
            }
        }
        org.openjdk.jmh.Main.main(arguments);
    }
}
