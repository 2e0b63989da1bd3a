package dev.graft.engine;

/** The engine failed through no fault of its caller: a defect of this library, reported with what it knows. */
public class EngineException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** An exception with a one-line message. */
    public EngineException(String message) {
        super(message);
    }

    /** An exception with a one-line message and its cause. */
    public EngineException(String message, Throwable cause) {
        super(message, cause);
    }
}
