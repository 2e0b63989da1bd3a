package dev.graft.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * One run of the command in this JVM.
 *
 * @param code exit code
 * @param out standard output
 * @param err standard error
 */
record Invocation(int code, String out, String err) {
    private static final ObjectMapper JSON = new ObjectMapper();

    static Invocation of(Object... arguments) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        String[] texts = new String[arguments.length];
        for (int i = 0; i < texts.length; i++) {
            texts[i] = arguments[i].toString();
        }
        int code = Main.run(new PrintStream(out, true, StandardCharsets.UTF_8), new PrintStream(err, true, StandardCharsets.UTF_8), texts);
        return new Invocation(code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    /** Checks that it went well. */
    Invocation done() {
        assertEquals(ExitCode.DONE, code, err);
        return this;
    }

    /** Checks that it failed with this code and said one clear line with these parts, and no stack trace. */
    Invocation failed(int expected, String... parts) {
        assertEquals(expected, code, out + err);
        List<String> said = err.lines().filter(line -> line.startsWith("graft: ")).toList();
        assertEquals(1, said.size(), err);
        for (String part : parts) {
            assertTrue(said.get(0).contains(part), said.get(0) + " should say " + part);
        }
        assertFalse(err.contains("\tat "), err);
        return this;
    }

    /** The last line of standard output as JSON. */
    JsonNode json() {
        List<String> lines = out.lines().toList();
        try {
            return JSON.readTree(lines.get(lines.size() - 1));
        } catch (JsonProcessingException e) {
            throw new AssertionError("the last line is not JSON: " + out, e);
        }
    }
}
