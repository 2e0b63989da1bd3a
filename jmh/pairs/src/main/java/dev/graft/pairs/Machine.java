package dev.graft.pairs;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** What a result depends on besides the code: processor, memory, kernel, JDK, allocator, commit. */
final class Machine {
    private Machine() {}

    /** Names and values in the order in which a results file lists them. */
    static Map<String, String> describe(Path root) {
        Map<String, String> cpu = colonSeparated("/proc/cpuinfo");
        Map<String, String> memory = colonSeparated("/proc/meminfo");
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("cpu", cpu.get("model name"));
        facts.put("cpu family and model", cpu.get("cpu family") + " " + cpu.get("model"));
        facts.put("processors", String.valueOf(Runtime.getRuntime().availableProcessors()));
        facts.put("flags", flags(cpu.get("flags")));
        facts.put("memory", memory.get("MemTotal"));
        facts.put("huge pages", line("/sys/kernel/mm/transparent_hugepage/enabled"));
        facts.put("kernel", line("/proc/sys/kernel/osrelease"));
        facts.put("jdk", System.getProperty("java.vm.name") + " " + System.getProperty("java.vm.version"));
        facts.put("tcmalloc", tcmalloc());
        facts.put("commit", commit(root));
        return facts;
    }

    /** A word for file names, as in {@code amd-epyc-25-17}. */
    static String word(Map<String, String> facts) {
        return (facts.get("cpu") + " " + facts.get("cpu family and model"))
                .toLowerCase(Locale.ROOT)
                .replaceAll("[^a-z0-9]+", "-")
                .replaceAll("^-|-$", "");
    }

    /** The vector and matrix extensions: of the hundred flags, those that kernels are chosen by. */
    private static String flags(String all) {
        Set<String> kept = new TreeSet<>();
        for (String flag : all.split(" ")) {
            if (flag.matches("sse4_2|fma|f16c|avx.*|amx.*")) {
                kept.add(flag);
            }
        }
        return String.join(" ", kept);
    }

    private static String tcmalloc() {
        try {
            return Side.TCMALLOC.toRealPath().toString();
        } catch (IOException e) {
            return "none";
        }
    }

    /** The commit that is checked out, with {@code +} where files differ from it. */
    private static String commit(Path root) {
        try {
            Process process = new ProcessBuilder("git", "describe", "--always", "--dirty=+", "--exclude=*")
                    .directory(root.toFile())
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            String text = new String(process.getInputStream().readAllBytes()).trim();
            return text.isEmpty() ? "unknown" : text;
        } catch (IOException e) {
            return "unknown";
        }
    }

    private static Map<String, String> colonSeparated(String file) {
        Map<String, String> values = new LinkedHashMap<>();
        for (String line : read(file).split("\n")) {
            int colon = line.indexOf(':');
            if (colon > 0) {
                values.putIfAbsent(line.substring(0, colon).trim(), line.substring(colon + 1).trim());
            }
        }
        return values;
    }

    private static String line(String file) {
        return Files.exists(Path.of(file)) ? read(file).trim() : "unknown";
    }

    private static String read(String file) {
        try {
            return Files.readString(Path.of(file));
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read " + file + ": paired measurements need Linux", e);
        }
    }
}
