package dev.graft.cli;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Where a command writes: results to standard output, the rest to standard error. With {@code --json} standard output holds
 * JSON only.
 *
 * @param out standard output
 * @param err standard error
 * @param json whether {@code --json} was given
 */
record Terminal(PrintStream out, PrintStream err, boolean json) {
    /** Text for a human reader. */
    void say(String text) {
        PrintStream to = json ? err : out;
        to.println(text);
        to.flush();
    }

    /** Progress, a warning or a note. */
    void note(String line) {
        err.println(line);
        err.flush();
    }

    /** The object of {@code --json}; nothing without it. */
    void result(JsonNode object) {
        if (json) {
            out.println(object);
            out.flush();
        }
    }

    /** Whether somebody watches standard error on a terminal. */
    boolean interactive() {
        if (err != System.err) {
            return false;
        }
        try {
            // System.console() would tell of standard input and output instead
            String device = Files.readSymbolicLink(Path.of("/proc/self/fd/2")).toString();
            return device.startsWith("/dev/pts/") || device.startsWith("/dev/tty") || device.equals("/dev/console");
        } catch (IOException | UnsupportedOperationException unknown) {
            return false;
        }
    }
}
