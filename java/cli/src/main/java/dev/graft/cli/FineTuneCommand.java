package dev.graft.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.evaluate.Evaluation;
import dev.graft.finetune.FineTuning;
import dev.graft.finetune.FineTuningResult;
import java.nio.file.Path;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code graft finetune}: trains, evaluates and saves. */
@picocli.CommandLine.Command(name = "finetune", description = "Fine-tunes a network on labelled pictures and saves the result.")
final class FineTuneCommand implements Command {
    @Mixin
    TrainingOptions options;

    @Option(names = "--out", paramLabel = "DIR", required = true, description = "folder of the result; absent or empty")
    Path out;

    @Option(names = "--overwrite", description = "replace the old content of --out once the new result is complete")
    boolean overwrite;

    @Override
    public int run(CommonOptions common, Terminal terminal) {
        CommonOptions.Machine machine = common.machine(terminal);
        try (FineTuning run = options.builder(common, machine).out(out).overwrite(overwrite).open();
                Interruption interruption = Interruption.watch(terminal)) {
            run.warnings().forEach(w -> terminal.note("warning: " + w));
            if (run.loadReport() != null) {
                terminal.say(run.loadReport().toString());
            }
            terminal.say(run.plan().table().stripTrailing());
            FineTuningResult result = train(run, interruption, terminal);
            say(terminal, "val", result.val());
            say(terminal, "test", result.test());
            ObjectNode json = result.toJson();
            json.put("peak_memory_mb", PeakMemory.megabytes());
            json.put("card", run.plan().card().toString()).put("head", run.plan().head());
            machine.describe(json);
            boolean saved = result.out() != null;
            terminal.say(String.format("%s, %.1f s, peak memory %d MB", saved ? "saved in " + out : "nothing saved", result.seconds(),
                    PeakMemory.megabytes()));
            if (result.interrupted()) {
                terminal.note("graft: interrupted" + (saved ? "; what was trained so far is in " + out : " before anything was trained; nothing is saved"));
            }
            terminal.result(json);
            return result.interrupted() ? ExitCode.INTERRUPTED : ExitCode.DONE;
        }
    }

    private static FineTuningResult train(FineTuning run, Interruption interruption, Terminal terminal) {
        try (TrainProgress progress = new TrainProgress(terminal, run.plan().settings().train().epochs())) {
            return run.run(progress, interruption::asked);
        }
    }

    private static void say(Terminal terminal, String split, Evaluation e) {
        if (e != null) {
            terminal.say(String.format("%s: accuracy %.2f %% (%d of %d), loss %.4f, macro F1 %.4f", split, 100 * e.accuracy(), e.correct(),
                    e.samples(), e.loss(), e.f1().macro()));
        }
    }
}
