package dev.graft.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.engine.Device;
import dev.graft.engine.UnavailableException;
import dev.graft.weights.Version;
import picocli.CommandLine;

/** {@code graft doctor}: what there is to run on. */
@CommandLine.Command(name = "doctor", description = "Tells what this machine offers; fails if the native libraries do not load.")
final class DoctorCommand implements Command {
    @Override
    public int run(CommonOptions common, Terminal terminal) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        row(terminal, json, "graft", Version.current());
        row(terminal, json, "java", System.getProperty("java.version") + ", " + System.getProperty("java.vendor") + ", "
                + System.getProperty("java.home"));
        row(terminal, json, "system", System.getProperty("os.name") + " " + System.getProperty("os.version") + ", "
                + System.getProperty("os.arch"));
        row(terminal, json, "processors", Integer.toString(Runtime.getRuntime().availableProcessors()));
        row(terminal, json, "java_memory_mb", Long.toString(Runtime.getRuntime().maxMemory() >> 20));
        try {
            JsonNode device = CommonOptions.describe();
            JsonNode details = device.path("details");
            row(terminal, json, "natives", "loaded");
            row(terminal, json, "threads", Integer.toString(Device.defaultThreads()));
            row(terminal, json, "instruction_set", details.path("isa").asText());
            row(terminal, json, "bf16", details.path("bf16").asBoolean() ? "yes" : "no: bf16 runs are done in f32");
            details.path("libraries").properties().forEach(l -> row(terminal, json, l.getKey(), l.getValue().asText()));
            row(terminal, json, "available_memory_mb", Long.toString(device.path("available_bytes").asLong() >> 20));
            cuda(terminal, json);
            json.put("ok", true);
            terminal.result(json);
            return ExitCode.DONE;
        } catch (UnavailableException e) {
            row(terminal, json, "natives", e.getMessage());
            json.put("ok", false);
            terminal.result(json);
            return ExitCode.NO_ROOM;
        }
    }

    private static void cuda(Terminal terminal, ObjectNode json) {
        JsonNode cuda = CommonOptions.describeCuda();
        String reason = cuda.path("reason").asText();
        row(terminal, json, "cuda", reason.isEmpty() ? "runtime " + cuda.path("runtime").asText() + ", driver " + cuda.path("driver").asText() : reason);
        int number = 0;
        for (JsonNode gpu : cuda.path("gpus")) {
            String refused = gpu.path("reason").asText();
            row(terminal, json, "gpu_" + number++, gpu.path("name").asText() + ", compute capability " + gpu.path("capability").asText() + ", "
                    + gpu.path("memory_mb").asText() + " MB" + (refused.isEmpty() ? "" : "; not usable: " + refused));
        }
        for (JsonNode library : cuda.path("libraries")) {
            String missing = library.path("reason").asText();
            row(terminal, json, library.path("name").asText(),
                    missing.isEmpty() ? library.path("version").asText() + ", " + library.path("path").asText() : missing);
        }
        if (cuda.has("presets")) {
            row(terminal, json, "cuda_presets", cuda.path("presets").asText());
        }
        cuda.path("uses").properties().forEach(use -> row(terminal, json, "gpu_" + use.getKey(), use.getValue().asText()));
    }

    private static void row(Terminal terminal, ObjectNode json, String name, String value) {
        json.put(name, value);
        terminal.say(String.format("%-20s %s", name.replace('_', ' '), value));
    }
}
