package dev.graft.cli;

import dev.graft.train.EpochRecord;
import dev.graft.train.TrainObserver;

/** Shows how a run goes: a bar with live metrics and the time left on a terminal, else a line an epoch. */
final class TrainProgress implements TrainObserver, AutoCloseable {
    private static final String TRAINING = "training";

    private final Terminal terminal;
    private final int epochs;
    private final long start = System.nanoTime();
    private Progress bar;
    private String task = "";
    private long at;
    private String validated = "";

    TrainProgress(Terminal terminal, int epochs) {
        this.terminal = terminal;
        this.epochs = epochs;
    }

    @Override
    public void pass(String what, int done, int total) {
        if (task.equals(TRAINING) && !what.startsWith("evaluation")) {
            bar.to(at, what + " " + done + "/" + total);
        } else {
            enter(what, total);
            bar.to(done, "");
        }
    }

    @Override
    public void step(int epoch, int step, int steps, double loss, double rate) {
        enter(TRAINING, (long) epochs * steps);
        at = (long) (epoch - 1) * steps + step;
        bar.to(at, String.format("epoch %d/%d loss %.3f%s", epoch, epochs, loss, validated));
    }

    @Override
    public void epoch(EpochRecord e) {
        validated = e.valAccuracy() == null ? "" : String.format(" val %.2f %%", 100 * e.valAccuracy());
        if (!terminal.interactive()) {
            double left = (System.nanoTime() - start) / 1e9 / e.epoch() * (epochs - e.epoch());
            terminal.note(String.format("epoch %d/%d loss %.4f train %.2f %%%s rate %.3g, %.1f s, %.0f s left", e.epoch(), epochs, e.loss(),
                    100 * e.accuracy(), validated, e.rate(), e.seconds(), left));
        }
    }

    @Override
    public void warning(String message) {
        terminal.note("warning: " + message);
    }

    private void enter(String next, long total) {
        if (!task.equals(next)) {
            close();
            bar = Progress.of(terminal, next, total);
            task = next;
        }
    }

    @Override
    public void close() {
        if (bar != null) {
            bar.close();
            bar = null;
            task = "";
        }
    }
}
