package dev.graft.data;

/** A picture that is left out, and why. */
public record Rejected(String path, String reason) {
    @Override
    public String toString() {
        return path + ": " + reason;
    }
}
