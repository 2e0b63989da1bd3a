package dev.graft.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.data.DataException;
import dev.graft.predict.ClassProbability;
import dev.graft.predict.Prediction;
import dev.graft.predict.Predictor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code graft predict}: what a result, or a checkpoint with an adapter, says of pictures. */
@picocli.CommandLine.Command(name = "predict", description = "Prints one line, with --json one object, a picture.")
final class PredictCommand implements Command {
    private static final List<String> ENDINGS = List.of(".jpg", ".jpeg", ".png", ".bmp");
    private static final int BATCHES_AT_A_TIME = 8;

    @Mixin
    PredictionSource source;

    @Option(names = "--top", paramLabel = "K", description = "likeliest classes to name; default 1")
    int top = 1;

    @Option(names = "--batch", paramLabel = "N", description = "pictures at a time; default 32")
    int batch = Predictor.BATCH;

    @Parameters(paramLabel = "FILE|DIR", arity = "1..*", description = "pictures, or folders of them")
    List<Path> pictures;

    @Override
    public int run(CommonOptions common, Terminal terminal) {
        if (top < 1 || batch < 1) {
            throw new IllegalArgumentException((top < 1 ? "--top is " + top : "--batch is " + batch) + ", expected at least 1");
        }
        source.check();
        CommonOptions.Machine machine = common.machine(terminal);
        List<Path> files = files();
        int failed = 0;
        try (Predictor base = source.open(machine, batch, terminal); Predictor predictor = source.adapted(base)) {
            int step = BATCHES_AT_A_TIME * batch;
            for (int first = 0; first < files.size(); first += step) {
                for (Prediction p : predictor.predict(files.subList(first, Math.min(files.size(), first + step)), top)) {
                    tell(p, terminal);
                    failed += p.problem() == null ? 0 : 1;
                }
            }
        }
        if (failed > 0) {
            terminal.note("warning: " + failed + " of " + files.size() + " pictures cannot be read");
        }
        return failed == files.size() ? ExitCode.UNUSABLE : ExitCode.DONE;
    }

    private List<Path> files() {
        List<Path> files = new ArrayList<>();
        for (Path given : pictures) {
            if (!Files.isDirectory(given)) {
                files.add(given);
                continue;
            }
            try (Stream<Path> all = Files.walk(given)) {
                List<Path> found = all.filter(PredictCommand::isPicture).sorted().toList();
                if (found.isEmpty()) {
                    throw new DataException(given + ": no " + String.join(", ", ENDINGS) + " in this folder");
                }
                files.addAll(found);
            } catch (IOException e) {
                throw new UncheckedIOException(given + ": cannot be listed: " + e.getMessage(), e);
            }
        }
        return files;
    }

    private static boolean isPicture(Path file) {
        String name = file.getFileName().toString().toLowerCase(Locale.ROOT);
        return Files.isRegularFile(file) && ENDINGS.stream().anyMatch(name::endsWith);
    }

    private static void tell(Prediction p, Terminal terminal) {
        if (terminal.json()) {
            terminal.result(json(p));
        } else if (p.problem() == null) {
            List<String> classes = p.top().stream().map(c -> String.format("%s %.2f %%", c.name(), 100 * c.probability())).toList();
            terminal.say(p.file() + "\t" + String.join("\t", classes));
        } else {
            terminal.note(p.file() + ": " + p.problem());
        }
    }

    private static ObjectNode json(Prediction p) {
        ObjectNode json = JsonNodeFactory.instance.objectNode().put("file", p.file().toString());
        if (p.problem() != null) {
            return json.putNull("class").put("error", p.problem());
        }
        json.put("class", p.label()).put("probability", p.probability());
        ArrayNode list = json.putArray("top");
        for (ClassProbability c : p.top()) {
            list.addObject().put("class", c.name()).put("probability", c.probability());
        }
        return json;
    }
}
