package dev.graft.engine;

/** What was asked for is not there: a device, a column, a file, or Graft's native libraries for this platform. */
public final class UnavailableException extends EngineException {
    private static final long serialVersionUID = 1L;

    /** An exception with a one-line message. */
    public UnavailableException(String message) {
        super(message);
    }

    /** An exception with a one-line message and its cause. */
    public UnavailableException(String message, Throwable cause) {
        super(message, cause);
    }
}
