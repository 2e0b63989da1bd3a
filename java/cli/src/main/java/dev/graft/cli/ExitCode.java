package dev.graft.cli;

/** What the command's exit codes mean. */
final class ExitCode {
    static final int DONE = 0;
    /** The run failed; the message names what. */
    static final int FAILED = 1;
    /** Wrong options. */
    static final int WRONG_OPTIONS = 2;
    /** Data or weights that cannot be used. */
    static final int UNUSABLE = 3;
    /** Not enough memory, or no such device. */
    static final int NO_ROOM = 4;
    /** Ended by Ctrl-C; the artefact so far is kept. */
    static final int INTERRUPTED = 130;

    private ExitCode() {
    }
}
