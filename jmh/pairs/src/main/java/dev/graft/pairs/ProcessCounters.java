package dev.graft.pairs;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What Linux counts for this process and for the machine, read from {@code /proc}. */
final class ProcessCounters {
    /** USER_HZ, fixed at 100 in the kernel's interface to user space on every platform Graft runs on. */
    private static final double TICKS_PER_SECOND = 100;

    private ProcessCounters() {}

    /** The most physical memory this process has held so far, in KiB (VmHWM): heap, natives and allocator included. */
    static long peakMemory() {
        for (String line : read("/proc/self/status").split("\n")) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        throw new IllegalStateException("/proc/self/status has no line VmHWM");
    }

    /** Processor seconds this process has used so far, all threads together. */
    static double ownSeconds() {
        String stat = read("/proc/self/stat");
        // the second field, the program's name, may hold spaces: count from its closing bracket
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / TICKS_PER_SECOND;
    }

    /** Processor seconds the machine has spent on anything but idling, time stolen by the host included. */
    static double machineSeconds() {
        String[] fields = read("/proc/stat").split("\n", 2)[0].trim().split(" +");
        long busy = 0;
        for (int i = 1; i <= 8; i++) {
            boolean idle = i == 4 || i == 5;
            busy += idle ? 0 : Long.parseLong(fields[i]);
        }
        return busy / TICKS_PER_SECOND;
    }

    private static String read(String file) {
        try {
            return Files.readString(Path.of(file));
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read " + file + ": measured processes need Linux", e);
        }
    }
}
