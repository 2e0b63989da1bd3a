package dev.graft.pairs;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Runs Graft, its peers and the machine's ceilings in turns, one process each, and keeps what they report.
 *
 * <p>A round runs every side of a workload once; the next round runs them in the opposite order, so that neither side
 * always follows the other and a drift of the machine falls on all of them. Rows of one round are paired. The results
 * file grows as processes end and a run that is cut off goes on where it stopped; the summary beside it is made anew
 * at the end of each run.
 */
@Command(name = "jmh/pairs/run", sortOptions = false,
        description = "Compares Graft with its peers in alternated processes.")
public final class Pairs implements Callable<Integer> {
    @Option(names = "--pairs", defaultValue = "15", description = "rounds of each workload (default 15)")
    private int pairs;

    @Option(names = "--workloads", split = ",", description = "some of: ${COMPLETION-CANDIDATES} (default all)")
    private List<Workload> workloads = List.of(Workload.values());

    @Option(names = "--precisions", split = ",", description = "f32, bf16 (default both)")
    private List<String> precisions = List.of("f32", "bf16");

    @Option(names = "--sides", split = ",", description = "some of: ${COMPLETION-CANDIDATES} (default all)")
    private List<Side> sides = List.of(Side.values());

    @Option(names = "--threads", defaultValue = "2", description = "threads of each side (default 2)")
    private int threads;

    @Option(names = "--warmup", description = "untimed steps of a process (default: the workload's own)")
    private Integer warmup;

    @Option(names = "--steps", description = "timed steps of a process (default: the workload's own)")
    private Integer steps;

    @Option(names = "--others", defaultValue = "5",
            description = "a process during which others used more of the machine than this, in percent, runs again, "
                    + "at most twice (default 5)")
    private double others;

    @Option(names = "--file", description = "results file (default jmh/results/<date>-<cpu>.csv)")
    private Path file;

    @Option(names = "--summary-only", description = "run nothing, summarize --file")
    private boolean summaryOnly;

    @Option(names = {"-h", "--help"}, usageHelp = true, description = "this text")
    private boolean help;

    @Option(names = "--root", defaultValue = ".", hidden = true)
    private Path root;

    private Pairs() {}

    public static void main(String[] arguments) {
        CommandLine command = new CommandLine(new Pairs()).setCaseInsensitiveEnumValuesAllowed(true);
        command.setExecutionExceptionHandler((e, line, result) -> {
            line.getErr().println("error: " + e.getMessage());
            return 1;
        });
        System.exit(command.execute(arguments));
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        root = root.toAbsolutePath().normalize();
        List<Row> rows;
        if (summaryOnly) {
            rows = Journal.read(file);
        } else {
            Map<String, String> machine = Machine.describe(root);
            if (file == null) {
                file = root.resolve("jmh/results/" + LocalDate.now() + "-" + Machine.word(machine) + ".csv");
            }
            Journal journal = Journal.open(file, machine);
            for (Workload workload : workloads) {
                for (String precision : workload.precisions()) {
                    for (int round = 0; precisions.contains(precision) && round < pairs; round++) {
                        round(journal, workload, precision, round);
                    }
                }
            }
            rows = journal.rows();
        }
        List<String> summary = Summary.of(rows);
        Path beside = file.resolveSibling(file.getFileName().toString().replaceFirst("\\.csv$", "") + "-summary.csv");
        Files.writeString(beside, String.join("\n", summary) + "\n");
        summary.forEach(System.out::println);
        return 0;
    }

    private void round(Journal journal, Workload workload, String precision, int round)
            throws IOException, InterruptedException {
        List<Side> order = new ArrayList<>(sides.stream().filter(side -> workload.runsOn(side, precision)).sorted().toList());
        if (round % 2 == 1) {
            Collections.reverse(order);
        }
        for (Side side : order) {
            if (journal.holds(Row.key(workload, precision, round, side.id()))) {
                continue;
            }
            Request plain = Request.parse(workload.id());
            Request request = new Request(
                    workload,
                    side.id(),
                    precision,
                    threads,
                    warmup == null ? plain.warmup() : warmup,
                    steps == null ? plain.steps() : steps);
            String started = LocalDateTime.now().truncatedTo(ChronoUnit.SECONDS).toString();
            Measurement measurement = undisturbed(side, request);
            journal.add(Row.line(started, request, round, measurement));
            System.err.printf("%s %s round %d %s: %.1f ms, %d MB, others %.1f %%%n", workload.id(), precision, round,
                    side.id(), measurement.medianMilliseconds(), measurement.peakKilobytes() / 1024,
                    measurement.othersPercent());
        }
    }

    /** The third attempt counts whatever happens: its share of others stands in the row. */
    private Measurement undisturbed(Side side, Request request) throws IOException, InterruptedException {
        for (int attempt = 0; ; attempt++) {
            Measurement measurement = run(side, request);
            if (measurement.othersPercent() <= others || attempt == 2) {
                return measurement;
            }
            System.err.printf("%s of %s: others used %.1f %% of the machine, once more%n", side.id(),
                    request.workload().id(), measurement.othersPercent());
        }
    }

    private Measurement run(Side side, Request request) throws IOException, InterruptedException {
        Path errors = Files.createTempFile("graft-pairs", ".err");
        Process process = side.process(root, request).redirectError(errors.toFile()).start();
        try {
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (!process.waitFor(1, TimeUnit.MINUTES) || process.exitValue() != 0) {
                throw new IllegalStateException(side.id() + " failed on " + request.workload().id() + " "
                        + request.precision() + ": " + Files.readString(errors).strip());
            }
            return Measurement.parse(output.lines()
                    .filter(line -> line.startsWith("{"))
                    .reduce((first, last) -> last)
                    .orElseThrow(() -> new IllegalStateException(side.id() + " printed no measurement")));
        } finally {
            process.destroyForcibly();
            Files.delete(errors);
        }
    }
}
