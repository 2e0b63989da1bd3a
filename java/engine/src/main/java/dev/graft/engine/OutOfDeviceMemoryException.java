package dev.graft.engine;

/**
 * A plan, a workspace or a parameter does not fit into the device's memory. A plan is refused before anything is
 * allocated, with the bytes it needs per group; nothing else is lost, and smaller plans still run.
 */
public final class OutOfDeviceMemoryException extends EngineException {
    private static final long serialVersionUID = 1L;

    /** An exception with a one-line message. */
    public OutOfDeviceMemoryException(String message) {
        super(message);
    }
}
