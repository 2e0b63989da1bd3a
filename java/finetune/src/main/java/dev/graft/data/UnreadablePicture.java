package dev.graft.data;

/** One picture that cannot be decoded: truncated, damaged, of an unknown format or too large. Others are not affected. */
public final class UnreadablePicture extends DataException {
    private static final long serialVersionUID = 1L;
    private final String reason;

    UnreadablePicture(String name, String reason) {
        super(name + ": " + reason);
        this.reason = reason;
    }

    UnreadablePicture(String name, String reason, Throwable cause) {
        super(name + ": " + reason, cause);
        this.reason = reason;
    }

    /** What is wrong, without the picture's name. */
    public String reason() {
        return reason;
    }
}
