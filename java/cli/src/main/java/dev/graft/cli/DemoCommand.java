package dev.graft.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.evaluate.Interval;
import dev.graft.finetune.FineTuningResult;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import picocli.CommandLine.Option;

/** {@code graft demo}: compares ways of fine-tuning on drawn pictures; needs no download. */
@picocli.CommandLine.Command(name = "demo", description = "Compares ways of fine-tuning a small network on drawn pictures. Needs no download.")
final class DemoCommand implements Command {
    private static final String PAGE = "report.html";

    @Option(names = "--out", paramLabel = "DIR", required = true, description = "folder for report.html; absent, empty or of a former demo")
    Path out;

    @Option(names = "--overwrite", description = "write the report into a folder that holds other files")
    boolean overwrite;

    @Override
    public int run(CommonOptions common, Terminal terminal) {
        requireFree();
        CommonOptions.Machine machine = common.machine(terminal).onProcessor("demo", terminal);
        long start = System.nanoTime();
        try (TemporaryFolder folder = TemporaryFolder.create("graft-demo"); Interruption interruption = Interruption.watch(terminal)) {
            Path backbone = folder.path().resolve("backbone.safetensors");
            DemoRuns.unpackBackbone(backbone);
            DemoRuns runs = new DemoRuns(folder.path(), backbone, DemoRuns.STRATEGIES, common.seed(), machine.threads());
            terminal.say(String.format("%s, trained on %d drawn figures, learns %d others from %d pictures each: %d strategies, %d seeds",
                    DemoRuns.MODEL, Shape.SOURCE.size(), Shape.TARGET.size(), DemoRuns.TRAINING, DemoRuns.STRATEGIES.size(), DemoRuns.SEEDS));
            if (!train(runs, interruption, terminal)) {
                terminal.note("graft: interrupted; nothing was written to " + out);
                return ExitCode.INTERRUPTED;
            }
            Path page = write(runs, common.seed());
            table(runs.results(), terminal);
            double seconds = (System.nanoTime() - start) / 1e9;
            terminal.say(String.format("%.0f s; the report with curves, confusions and pictures is %s", seconds, page));
            terminal.result(json(runs.results(), seconds, machine));
            return ExitCode.DONE;
        }
    }

    private static boolean train(DemoRuns runs, Interruption interruption, Terminal terminal) {
        long total = (long) DemoRuns.STRATEGIES.size() * DemoRuns.SEEDS * DemoRuns.EPOCHS;
        try (Progress progress = Progress.of(terminal, "demo", total)) {
            return runs.run(new DemoRuns.Listener() {
                private long done;
                private String last = "";

                @Override
                public synchronized void epoch() {
                    progress.to(++done, last);
                }

                @Override
                public synchronized void run(String strategy, long seed, FineTuningResult result) {
                    last = String.format("%s, seed %d: %.1f %%", strategy, seed, 100 * result.test().accuracy());
                    progress.to(done, last);
                    if (!terminal.interactive()) {
                        terminal.note(String.format("%s, %.1f s", last, result.seconds()));
                    }
                }
            }, interruption::asked);
        }
    }

    private void requireFree() {
        if (Files.exists(out) && !Files.isDirectory(out)) {
            throw new IllegalArgumentException(out + " is a file, expected a folder that is absent or empty");
        }
        if (Files.isDirectory(out) && !overwrite) {
            try (Stream<Path> content = Files.list(out)) {
                if (content.anyMatch(file -> !file.getFileName().toString().equals(PAGE))) {
                    throw new IllegalArgumentException(out + " is not empty: expected a folder that is absent or empty, or --overwrite");
                }
            } catch (IOException e) {
                throw new UncheckedIOException(out + ": cannot be listed: " + e.getMessage(), e);
            }
        }
    }

    private Path write(DemoRuns runs, long seed) {
        try {
            Files.createDirectories(out);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot make " + out + ": " + e.getMessage(), e);
        }
        DemoReport.of(runs, seed).write(out.resolve(PAGE));
        return out.resolve(PAGE);
    }

    private static double[] accuracies(List<FineTuningResult> results) {
        return results.stream().mapToDouble(r -> r.test().accuracy()).toArray();
    }

    private static void table(Map<String, List<FineTuningResult>> results, Terminal terminal) {
        terminal.say(String.format("%-22s %10s %12s %18s %8s", "strategy", "trainable", "accuracy %", "95 % interval", "seconds"));
        results.forEach((strategy, runs) -> {
            Interval i = Interval.of(accuracies(runs));
            terminal.say(String.format("%-22s %,10d %12.1f %18s %8.1f", strategy, runs.get(0).trainable(), 100 * i.mean(),
                    String.format("%.1f to %.1f", 100 * i.low(), 100 * i.high()),
                    runs.stream().mapToDouble(FineTuningResult::seconds).average().orElseThrow()));
        });
    }

    private ObjectNode json(Map<String, List<FineTuningResult>> results, double seconds, CommonOptions.Machine machine) {
        ObjectNode json = JsonNodeFactory.instance.objectNode().put("out", out.toString()).put("report", out.resolve(PAGE).toString());
        ArrayNode list = json.putArray("strategies");
        results.forEach((strategy, runs) -> {
            Interval i = Interval.of(accuracies(runs));
            ObjectNode row = list.addObject().put("strategy", strategy).put("trainable", runs.get(0).trainable())
                    .put("parameters", runs.get(0).parameters()).put("accuracy", i.mean()).put("low", i.low()).put("high", i.high())
                    .put("seconds", runs.stream().mapToDouble(FineTuningResult::seconds).average().orElseThrow());
            ArrayNode seeds = row.putArray("seeds");
            runs.forEach(r -> seeds.addObject().put("seed", r.settings().train().seed()).put("accuracy", r.test().accuracy()));
        });
        json.put("seconds", seconds).put("peak_memory_mb", PeakMemory.megabytes());
        machine.describe(json);
        return json;
    }
}
