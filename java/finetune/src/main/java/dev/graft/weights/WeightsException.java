package dev.graft.weights;

/** A weight file, index, folder or card that cannot be used; the message is one clear line that names the file and the cause. */
public final class WeightsException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** @param message one line that names the file, what was expected and what came */
    public WeightsException(String message) {
        super(message);
    }

    /** The same, with what caused it. */
    public WeightsException(String message, Throwable cause) {
        super(message, cause);
    }
}
