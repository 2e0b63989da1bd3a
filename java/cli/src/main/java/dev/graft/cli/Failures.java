package dev.graft.cli;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.graft.data.DataException;
import dev.graft.engine.OutOfDeviceMemoryException;
import dev.graft.engine.UnavailableException;
import dev.graft.weights.NearestName;
import dev.graft.weights.WeightsException;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/** Turns what a command throws into one line and an exit code. */
final class Failures {
    private static final boolean DEBUG = "1".equals(System.getenv("GRAFT_DEBUG"));

    private Failures() {
    }

    /** Prints {@code graft: what is wrong} and returns the exit code. */
    static int tell(Terminal terminal, Throwable failure) {
        if (DEBUG) {
            failure.printStackTrace(terminal.err());
        }
        int code = code(failure);
        String message = message(failure);
        terminal.note("graft: " + message);
        terminal.result(JsonNodeFactory.instance.objectNode().put("error", message).put("exit_code", code));
        return code;
    }

    private static int code(Throwable failure) {
        if (failure instanceof ParameterException || failure instanceof IllegalArgumentException) {
            return ExitCode.WRONG_OPTIONS;
        }
        if (failure instanceof WeightsException || failure instanceof DataException) {
            return ExitCode.UNUSABLE;
        }
        if (failure instanceof OutOfDeviceMemoryException || failure instanceof UnavailableException || failure instanceof OutOfMemoryError) {
            return ExitCode.NO_ROOM;
        }
        return ExitCode.FAILED;
    }

    private static String message(Throwable failure) {
        if (failure instanceof ParameterException p) {
            // a misspelt name matters more than what is missing because of it
            List<String> unmatched = p instanceof UnmatchedArgumentException u ? u.getUnmatched() : p.getCommandLine().getUnmatchedArguments();
            if (!unmatched.isEmpty()) {
                return unmatched(p.getCommandLine(), unmatched.get(0));
            }
        }
        if (failure instanceof OutOfMemoryError) {
            return "not enough memory for Java (" + failure.getMessage() + ", limit " + (Runtime.getRuntime().maxMemory() >> 20)
                    + " MiB); a larger limit is set by GRAFT_JAVA_OPTIONS=-Xmx4g";
        }
        String text = failure.getMessage() == null ? "" : failure.getMessage().strip().replaceAll("\\s*\\R\\s*", "; ");
        boolean expected = failure instanceof ParameterException || failure.getClass().getName().startsWith("dev.graft.")
                || failure instanceof IllegalArgumentException || failure instanceof java.io.UncheckedIOException
                || failure instanceof ArithmeticException;
        if (expected && !text.isEmpty()) {
            return text;
        }
        return "unexpected " + failure.getClass().getSimpleName() + (text.isEmpty() ? "" : ": " + text) + " (GRAFT_DEBUG=1 prints where)";
    }

    private static String unmatched(CommandLine line, String given) {
        if (given.startsWith("-")) {
            String name = given.replaceFirst("=.*", "");
            List<String> known = new ArrayList<>(line.getCommandSpec().optionsMap().keySet());
            return "unknown option " + name + " of " + line.getCommandSpec().qualifiedName() + suggestion(name, known);
        }
        if (!line.getSubcommands().isEmpty()) {
            List<String> known = new ArrayList<>(line.getSubcommands().keySet());
            String nearest = suggestion(given, known);
            return "unknown command " + given + (nearest.isEmpty() ? ", expected one of " + String.join(", ", known) : nearest);
        }
        return line.getCommandSpec().qualifiedName() + " does not take the argument " + given;
    }

    private static String suggestion(String name, List<String> known) {
        String nearest = NearestName.of(name, known);
        return nearest == null ? "" : ", did you mean " + nearest + "?";
    }
}
