package dev.graft.cli;

import java.io.PrintStream;
import java.io.PrintWriter;
import java.util.Locale;
import picocli.CommandLine;

/** Entry of the {@code graft} command. */
public final class Main {
    private Main() {
    }

    /** Runs the command and ends the JVM with its exit code. */
    public static void main(String[] arguments) {
        Locale.setDefault(Locale.ROOT);     // numbers are the same everywhere
        System.exit(run(System.out, System.err, arguments));
    }

    /**
     * Runs the command.
     *
     * @param out for results; with {@code --json} its last line is one object
     * @param err for progress, warnings and errors
     * @return the exit code
     */
    static int run(PrintStream out, PrintStream err, String... arguments) {
        Graft root = new Graft();
        CommandLine line = new CommandLine(root);
        line.setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true));
        line.setParameterExceptionHandler((e, given) -> Failures.tell(new Terminal(out, err, asksForJson(given)), e));
        line.setExecutionStrategy(parsed -> {
            CommandLine.ParseResult leaf = parsed;
            while (leaf.hasSubcommand()) {
                leaf = leaf.subcommand();
            }
            Integer help = CommandLine.executeHelpRequest(parsed);
            if (help != null) {
                return help;
            }
            Terminal terminal = new Terminal(out, err, root.common.json);
            return execute(leaf.commandSpec().userObject(), root.common, terminal, leaf.commandSpec().commandLine());
        });
        return line.execute(arguments);
    }

    private static int execute(Object command, CommonOptions common, Terminal terminal, CommandLine line) {
        try {
            if (command instanceof Command c) {
                return c.run(common, terminal);
            }
            line.usage(terminal.err());
            return ExitCode.WRONG_OPTIONS;
        } catch (Throwable failure) {
            return Failures.tell(terminal, failure);
        }
    }

    private static boolean asksForJson(String[] arguments) {
        for (String argument : arguments) {
            if (argument.equals("--json")) {
                return true;
            }
        }
        return false;
    }
}
