package dev.graft.data;

/** Data that cannot be used. The message is one line that names the file or folder, what was expected and what came. */
public class DataException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** @param message one line that names the file, what was expected and what came */
    public DataException(String message) {
        super(message);
    }

    /** The same, with what caused it. */
    public DataException(String message, Throwable cause) {
        super(message, cause);
    }
}
