package dev.graft.cli;

import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/**
 * How far a piece of work is: a bar with the time left on a terminal, else nothing (whoever reports in lines says them
 * itself). For one thread.
 */
final class Progress implements AutoCloseable {
    private static final int UPDATE_MILLIS = 200;

    private final ProgressBar bar;

    private Progress(ProgressBar bar) {
        this.bar = bar;
    }

    /** Begins. */
    static Progress of(Terminal terminal, String task, long total) {
        return new Progress(!terminal.interactive() ? null
                : new ProgressBarBuilder().setTaskName(task).setInitialMax(total).setStyle(ProgressBarStyle.ASCII)
                        .setUpdateIntervalMillis(UPDATE_MILLIS).build());
    }

    /** {@code done} of the total; the text stands behind the bar. */
    void to(long done, String text) {
        if (bar != null) {
            bar.stepTo(done);
            bar.setExtraMessage(text);
        }
    }

    /** Ends the bar's line. */
    @Override
    public void close() {
        if (bar != null) {
            bar.close();
        }
    }
}
