package dev.graft.data;

/** A file that breaks the rules of its format; the message says how and is completed with the file's name by the caller. */
final class Malformed extends Exception {
    private static final long serialVersionUID = 1L;

    Malformed(String message) {
        super(message, null, false, false);
    }
}
