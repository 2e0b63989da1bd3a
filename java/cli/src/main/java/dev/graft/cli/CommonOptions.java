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
    record Machine(int threads, Precision precision, String note) {
        /** Adds the object {@code machine}: what was computed on; its note is null unless something else was asked for. */
        void describe(ObjectNode json) {
            json.putObject("machine").put("device", "cpu").put("threads", threads)
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
     * Settles device, threads and precision; a change of what was asked for is told.
     *
     * @throws UnavailableException for a device that is not there
     */
    Machine machine(Terminal terminal) {
        settleDevice(terminal);
        if (threads != null && threads < 1) {
            throw new IllegalArgumentException("--threads is " + threads + ", expected at least 1");
        }
        int count = threads == null ? Device.defaultThreads() : threads;
        Precision wanted = Choice.of("--precision", precision, Precision.values());
        if (wanted == Precision.BF16) {
            JsonNode details = describe();
            if (!details.path("details").path("bf16").asBoolean()) {
                String note = "precision bf16: this processor (" + details.path("details").path("isa").asText() + ") has no bf16 arithmetic, f32 is used";
                terminal.note(note);
                return new Machine(count, Precision.F32, note);
            }
        }
        return new Machine(count, wanted, null);
    }

    /** What the CPU column says of itself. */
    static JsonNode describe() {
        try (Device cpu = Device.open("cpu", 1, 1)) {
            return JSON.readTree(cpu.describe());
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("the engine describes its device in something that is not JSON", e);
        }
    }

    private void settleDevice(Terminal terminal) {
        if (device.equals("auto")) {
            terminal.note("device auto: this build has no CUDA column, the CPU is used");
        } else if (device.matches("cuda(:\\d+)?")) {
            throw new UnavailableException("device " + device + ": this build has no CUDA column; --device cpu runs on the processor");
        } else {
            Choice.of("--device", device, List.of("cpu", "cuda", "cuda:0", "auto"));
        }
    }
}
