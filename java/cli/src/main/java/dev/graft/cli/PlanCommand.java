package dev.graft.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.finetune.FineTuning;
import picocli.CommandLine.Mixin;

/** {@code graft plan}: what a {@code finetune} with the same options would do, without doing it. */
@picocli.CommandLine.Command(name = "plan", description = "Tells what finetune with the same options would train, its memory and its time.")
final class PlanCommand implements Command {
    @Mixin
    TrainingOptions options;

    @picocli.CommandLine.Option(names = {"--out", "--overwrite"}, arity = "0..1", hidden = true, description = "as in finetune; nothing is written")
    String unused;

    @Override
    public int run(CommonOptions common, Terminal terminal) {
        CommonOptions.Machine machine = common.machine(terminal);
        try (FineTuning run = options.builder(common, machine).open()) {
            run.warnings().forEach(w -> terminal.note("warning: " + w));
            terminal.say(run.plan().table().stripTrailing());
            ObjectNode json = run.plan().toJson();
            machine.describe(json);
            terminal.result(json);
        }
        return ExitCode.DONE;
    }
}
