package dev.graft.weights;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;

/** How text out of files gets into messages: short, on one line, without control characters. */
final class Messages {
    private static final int LONGEST = 120;

    private Messages() {
    }

    /** Text from a file in quotes: control characters replaced, cut after 120 characters. */
    static String quoted(String text) {
        return "\"" + oneLine(text) + "\"";
    }

    static String oneLine(String text) {
        StringBuilder line = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            if (i == LONGEST) {
                return line.append("...").toString();
            }
            char c = text.charAt(i);
            boolean plain = !Character.isISOControl(c) && Character.getType(c) != Character.FORMAT
                    && c != '\u2028' && c != '\u2029';
            line.append(plain ? c : '?');
        }
        return line.toString();
    }

    /** The first few names in quotes, and how many more there are. */
    static String some(List<String> names, int most) {
        String shown = String.join(", ", names.stream().limit(most).map(Messages::quoted).toList());
        return names.size() > most ? shown + " and " + (names.size() - most) + " more" : shown;
    }

    /** The exception for a file that the system does not let us read. */
    static WeightsException unreadable(Path file, IOException cause) {
        String reason;
        if (cause instanceof NoSuchFileException) {
            reason = "no such file";
        } else if (cause instanceof AccessDeniedException) {
            reason = "not permitted to read it";
        } else {
            String message = cause.getMessage();
            reason = "cannot be read: " + (message == null ? cause.getClass().getSimpleName() : oneLine(message));
        }
        return new WeightsException(file + ": " + reason, cause);
    }
}
