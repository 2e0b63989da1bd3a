package dev.graft.engine;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** How many threads the container lets run at once: cgroup v2's cpu.max or v1's quota, at most the processors seen. */
final class Quota {
    private static final Path ROOT = Path.of("/sys/fs/cgroup");

    private Quota() {}

    static int threads() {
        return threads(Runtime.getRuntime().availableProcessors(), ROOT);
    }

    /** Whole processors only: a team of more threads than the quota is stopped in the middle of its work. */
    static int threads(int processors, Path root) {
        double quota = Math.min(version2(root.resolve("cpu.max")),
                Math.min(version1(root.resolve("cpu")), version1(root.resolve("cpu,cpuacct"))));
        return Math.max(1, (int) Math.min(processors, Math.floor(quota)));
    }

    /** "quota period" or "max period", in microseconds. */
    private static double version2(Path file) {
        List<String> lines = lines(file);
        String[] fields = lines.isEmpty() ? new String[0] : lines.get(0).trim().split("\\s+");
        return fields.length == 2 ? ratio(fields[0], fields[1]) : Double.POSITIVE_INFINITY;
    }

    private static double version1(Path folder) {
        List<String> quota = lines(folder.resolve("cpu.cfs_quota_us"));
        List<String> period = lines(folder.resolve("cpu.cfs_period_us"));
        return quota.isEmpty() || period.isEmpty() ? Double.POSITIVE_INFINITY : ratio(quota.get(0), period.get(0));
    }

    private static double ratio(String quota, String period) {
        try {
            double q = Double.parseDouble(quota.trim());
            double p = Double.parseDouble(period.trim());
            return q > 0 && p > 0 ? q / p : Double.POSITIVE_INFINITY;
        } catch (NumberFormatException unlimited) {
            return Double.POSITIVE_INFINITY;
        }
    }

    private static List<String> lines(Path file) {
        try {
            return Files.readAllLines(file);
        } catch (IOException absent) {
            return List.of();
        }
    }
}
