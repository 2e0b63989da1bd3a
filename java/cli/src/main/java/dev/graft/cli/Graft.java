package dev.graft.cli;

import dev.graft.weights.Version;
import picocli.CommandLine;
import picocli.CommandLine.ScopeType;

/** The root of the command. */
@CommandLine.Command(name = "graft", description = "Fine-tunes pretrained networks.", versionProvider = Graft.Versions.class,
        subcommands = {FineTuneCommand.class, PlanCommand.class, EvaluateCommand.class, PredictCommand.class, InspectCommand.class,
            MergeCommand.class, ModelsCommand.class, DoctorCommand.class, DemoCommand.class, DemoSourceCommand.class},
        footer = {"", "Exit codes: 0 done, 1 the run failed, 2 wrong options, 3 data or weights unusable,",
            "4 not enough memory or no such device, 130 interrupted. GRAFT_DEBUG=1 prints stack traces."})
final class Graft {
    @CommandLine.Mixin
    CommonOptions common;

    @CommandLine.Option(names = {"-V", "--version"}, versionHelp = true, description = "print the version")
    boolean version;

    @CommandLine.Option(names = {"-h", "--help"}, usageHelp = true, scope = ScopeType.INHERIT, description = "print this help")
    boolean help;

    /** The version, known without the engine. */
    static final class Versions implements CommandLine.IVersionProvider {
        @Override
        public String[] getVersion() {
            return new String[] {"graft " + Version.current()};
        }
    }
}
