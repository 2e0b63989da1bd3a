package dev.graft.cli;

import java.util.concurrent.atomic.AtomicBoolean;
import sun.misc.Signal;
import sun.misc.SignalHandler;

/** Ctrl-C while a run goes on: the first ends it after the step, the second at once. */
final class Interruption implements AutoCloseable {
    private static final Signal INT = new Signal("INT");

    private final AtomicBoolean asked = new AtomicBoolean();
    private final SignalHandler before;

    private Interruption(Terminal terminal) {
        before = Signal.handle(INT, signal -> {
            if (asked.getAndSet(true)) {
                Runtime.getRuntime().halt(ExitCode.INTERRUPTED);
            }
            terminal.note("interrupted: the step ends and what was trained so far is saved; Ctrl-C again ends at once and saves nothing");
        });
    }

    /** Listens until it is closed. */
    static Interruption watch(Terminal terminal) {
        return new Interruption(terminal);
    }

    /** Whether Ctrl-C was pressed. */
    boolean asked() {
        return asked.get();
    }

    @Override
    public void close() {
        Signal.handle(INT, before);
    }
}
