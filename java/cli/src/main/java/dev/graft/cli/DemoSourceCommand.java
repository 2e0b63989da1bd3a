package dev.graft.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.finetune.FineTuning;
import dev.graft.finetune.FineTuningResult;
import dev.graft.weights.Bundle;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import picocli.CommandLine.Option;

/** {@code graft demo-source}: makes the demonstration's backbone, {@code demo-backbone.safetensors}, from its source task. */
@picocli.CommandLine.Command(name = "demo-source", hidden = true, description = "Trains the backbone of the demonstration from scratch.")
final class DemoSourceCommand implements Command {
    private static final int TRAINING = 500;
    private static final int TESTING = 50;
    private static final int EPOCHS = 12;
    private static final int BATCH = 64;
    private static final double RATE = 0.1;
    /** Not the machine's: the file is the same wherever this instruction set is. */
    private static final int THREADS = 1;

    @Option(names = "--out", paramLabel = "FILE", required = true, description = "the safetensors file to write")
    Path out;

    @Override
    public int run(CommonOptions common, Terminal terminal) {
        CommonOptions.Machine machine = common.machine(terminal).onProcessor("demo-source", terminal);
        try (TemporaryFolder folder = TemporaryFolder.create("graft-demo-source")) {
            Path pictures = folder.path().resolve("pictures");
            ShapePictures.source().write(pictures.resolve("train"), Shape.SOURCE, TRAINING, common.seed());
            ShapePictures.source().write(pictures.resolve("test"), Shape.SOURCE, TESTING, common.seed() + 1);
            Path bundle = folder.path().resolve("run");
            try (FineTuning run = FineTuning.of(DemoRuns.MODEL).data(pictures).strategy("scratch").epochs(EPOCHS).batch(BATCH).rate(RATE)
                    .threads(THREADS).seed(common.seed()).out(bundle).open();
                    TrainProgress progress = new TrainProgress(terminal, EPOCHS)) {
                terminal.say(run.plan().table().stripTrailing());
                FineTuningResult result = run.run(progress, () -> false);
                Files.copy(bundle.resolve(Bundle.WEIGHTS), out, StandardCopyOption.REPLACE_EXISTING);
                terminal.say(String.format("test accuracy %.2f %%, saved in %s", 100 * result.test().accuracy(), out));
                ObjectNode json = result.toJson().put("out", out.toString());
                machine.describe(json);
                terminal.result(json);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot write " + out + ": " + e.getMessage(), e);
        }
        return ExitCode.DONE;
    }
}
