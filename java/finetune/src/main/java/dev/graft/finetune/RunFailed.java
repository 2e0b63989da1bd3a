package dev.graft.finetune;

import java.nio.file.Path;

/** A run that ended before its time. What it had achieved is kept where there was something to keep. */
public final class RunFailed extends RuntimeException {
    private static final long serialVersionUID = 1;
    private final transient Path kept;

    RunFailed(String message, Path kept, Throwable cause) {
        super(message + (kept == null ? "" : "; the last good result is in " + kept), cause);
        this.kept = kept;
    }

    /** Folder of the kept result, or null. */
    public Path kept() {
        return kept;
    }
}
