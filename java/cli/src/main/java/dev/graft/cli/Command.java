package dev.graft.cli;

/** A subcommand whose options picocli has filled in. */
interface Command {
    /** Does the work. Returns an {@link ExitCode}; what it throws is told in one line. */
    int run(CommonOptions common, Terminal terminal);
}
