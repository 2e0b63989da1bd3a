package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import java.nio.charset.StandardCharsets;
import org.bytedeco.javacpp.BytePointer;

/** Turns the status of a native call into an exception. */
final class Status {
    private Status() {}

    /** Throws what the status says, with the message of the calling thread's last failure. */
    static void check(int status) {
        if (status != Graft.GRAFT_OK) {
            throw exception(status);
        }
    }

    private static RuntimeException exception(int status) {
        BytePointer text = Graft.graft_last_error();
        String message = text == null ? "no message" : text.getString(StandardCharsets.UTF_8);
        return switch (status) {
            case Graft.GRAFT_INVALID_ARGUMENT -> new IllegalArgumentException(message);
            case Graft.GRAFT_OUT_OF_MEMORY -> new OutOfDeviceMemoryException(message);
            case Graft.GRAFT_UNAVAILABLE -> new UnavailableException(message);
            default -> new EngineException(message);
        };
    }
}
