package dev.graft.data;

/** Data that cannot be used. The message is one line that names the file or folder, what was expected and what came. */
public class DataException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public DataException(String message) {
        super(message);
    }

    public DataException(String message, Throwable cause) {
        super(message, cause);
    }
}
