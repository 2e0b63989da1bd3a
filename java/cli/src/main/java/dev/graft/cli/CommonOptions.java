package dev.graft.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.engine.Device;
import dev.graft.engine.Precision;
import dev.graft.engine.UnavailableException;
import java.util.List;
import java.util.Locale;
import java.util.OptionalLong;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** Options that every command takes, before or after its name. */
final class CommonOptions {
    private static final ObjectMapper JSON = new ObjectMapper();

    @Option(names = "--json", scope = ScopeType.INHERIT, description = "the last line of standard output is one JSON object")
    boolean json;

    @Option(names = "--seed", scope = ScopeType.INHERIT, paramLabel = "N", description = "of everything random; default 0")
    Long seed;

    @Option(names = "--threads", scope = ScopeType.INHERIT, paramLabel = "N", description = "default: the container's quota")
    Integer threads;

    @Option(names = "--device", scope = ScopeType.INHERIT, paramLabel = "D", description = "cpu, cuda[:N] or auto; default cpu")
    String device = "cpu";

    @Option(names = "--precision", scope = ScopeType.INHERIT, paramLabel = "P", description = "f32 or bf16; default f32")
    String precision = "f32";

    /** What the options came to on this machine. */
    record Machine(String device, int threads, Precision precision, String note) {
        /** The same on the processor, where {@code command} works whatever the device; told where another was asked for. */
        Machine onProcessor(String command, Terminal terminal) {
            if (device.equals("cpu")) {
                return this;
            }
            String other = command + " works on the processor, not on " + device;
            terminal.note(other);
            return new Machine("cpu", threads, precision, joined(note, other));
        }

        /** Adds the object {@code machine}: what was computed on; its note is null unless something else was asked for. */
        void describe(ObjectNode json) {
            json.putObject("machine").put("device", device).put("threads", threads)
                    .put("precision", precision.name().toLowerCase(Locale.ROOT)).put("note", note);
        }
    }

    /** The seed; 0 unless it was given. */
    long seed() {
        return given().orElse(0);
    }

    /** The seed if it was given. */
    OptionalLong given() {
        if (seed != null && seed < 0) {
            throw new IllegalArgumentException("--seed is " + seed + ", expected 0 or more");
        }
        return seed == null ? OptionalLong.empty() : OptionalLong.of(seed);
    }

    /**
     * Settles device, threads and precision; a change of what was asked for is told, and so is what {@code auto} came to.
     *
     * @throws UnavailableException for a device that is not there
     */
    Machine machine(Terminal terminal) {
        String place = settledDevice();
        String note = device.equals("auto") ? automatic(terminal) : null;
        if (threads != null && threads < 1) {
            throw new IllegalArgumentException("--threads is " + threads + ", expected at least 1");
        }
        int count = threads == null ? Device.defaultThreads() : threads;
        Precision wanted = Choice.of("--precision", precision, Precision.values());
        if (wanted == Precision.BF16 && place.equals("cpu")) {
            JsonNode details = describe();
            if (!details.path("details").path("bf16").asBoolean()) {
                String less = "precision bf16: this processor (" + details.path("details").path("isa").asText() + ") has no bf16 arithmetic, f32 is used";
                terminal.note(less);
                return new Machine(place, count, Precision.F32, joined(note, less));
            }
        }
        return new Machine(place, count, wanted, note);
    }

    /** What the CPU column says of itself. */
    static JsonNode describe() {
        try (Device cpu = Device.open("cpu", 1, 1)) {
            return read(cpu.describe());
        }
    }

    /** What there is for the CUDA column, or why there is nothing. */
    static JsonNode describeCuda() {
        return read(Device.describeCuda());
    }

    private static JsonNode read(String described) {
        try {
            return JSON.readTree(described);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("the engine describes its device in something that is not JSON", e);
        }
    }

    private String settledDevice() {
        if (device.matches("cuda(:\\d{1,4})?")) {
            Device.check(device);
            return device;
        }
        Choice.of("--device", device, List.of("cpu", "cuda", "cuda:0", "auto"));
        return "cpu";
    }

    /** Why {@code auto} is the processor. The GPU is taken only by name as long as no kernel for it has run on one. */
    private static String automatic(Terminal terminal) {
        String reason = "the CUDA column has not run on a GPU yet: --device cuda takes this one";
        try {
            Device.check("cuda");
        } catch (UnavailableException e) {
            reason = e.getMessage();
        }
        String note = "device auto: the CPU is used; " + reason;
        terminal.note(note);
        return note;
    }

    private static String joined(String first, String second) {
        return first == null ? second : first + "; " + second;
    }
}
