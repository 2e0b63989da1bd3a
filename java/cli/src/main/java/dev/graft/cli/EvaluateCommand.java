package dev.graft.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.data.DataException;
import dev.graft.data.Dataset;
import dev.graft.data.Limits;
import dev.graft.data.Split;
import dev.graft.engine.Device;
import dev.graft.evaluate.Evaluation;
import dev.graft.evaluate.Evaluator;
import dev.graft.model.Architecture;
import dev.graft.model.Checkpoint;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.predict.Predictor;
import dev.graft.weights.Bundle;
import dev.graft.weights.Card;
import dev.graft.weights.CardChoice;
import dev.graft.weights.WeightFile;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalDouble;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code graft evaluate}: how well a checkpoint with its own head, or a result, does on labelled pictures. */
@picocli.CommandLine.Command(name = "evaluate", description = "Measures a checkpoint with its own head (--model, --weights) or a result (--run).")
final class EvaluateCommand implements Command {
    private static final List<String> SPLITS = List.of("train", "val", "test");

    @Option(names = "--run", paramLabel = "DIR", description = "a result of finetune")
    Path run;

    @Option(names = "--model", paramLabel = "NAME", description = "see graft models")
    String model;

    @Option(names = "--weights", paramLabel = "FILE", description = "a checkpoint or a former result")
    Path weights;

    @Option(names = "--data", paramLabel = "DIR|ZIP", required = true, description = "a folder per class, in train, val, test where there are splits")
    Path data;

    @Option(names = "--split", paramLabel = "S", description = "train, val or test; default: the last of these that is there")
    String split;

    @Option(names = "--val-fraction", paramLabel = "X", description = "share of each class for validation, as in finetune")
    Double valFraction;

    @Option(names = "--batch", paramLabel = "N", description = "pictures at a time; default 32")
    int batch = Predictor.BATCH;

    @Mixin
    Preprocessing preprocessing;

    @Override
    public int run(CommonOptions common, Terminal terminal) {
        check();
        CommonOptions.Machine machine = common.machine(terminal);
        if (run != null) {
            try (Predictor predictor = Predictor.open(run, machine.device(), machine.threads(), batch, machine.precision());
                    Dataset dataset = runData(common)) {
                return measure(predictor, dataset, machine, terminal);
            }
        }
        Architecture architecture = Models.named(model);
        try (WeightFile file = Bundle.openWeights(weights); Dataset dataset = open(common.seed(), fraction());
                Device device = Device.open(machine.device(), machine.threads(), 1)) {
            Card card = CardChoice.of(preprocessing.keys(), preprocessing.file, file, architecture.card());
            int outputs = Heads.outputs(architecture, file);
            List<String> names = Bundle.classNames(file);
            if (outputs > 0 && names.isEmpty()) {
                dataset.requireClasses(outputs, weights.toString());
            }
            Network network = architecture.network(card.crop(), outputs > 0 ? outputs : architecture.classes());
            var parameters = device.parameters();
            Checkpoint.load(network, file, List.of(), 0, parameters);
            try (Predictor predictor = Predictor.of(network, parameters, card, names.isEmpty() ? dataset.classes() : names, batch,
                    machine.precision())) {
                return measure(predictor, dataset, machine, terminal);
            }
        }
    }

    private void check() {
        if (run == null && (model == null || weights == null)) {
            throw new IllegalArgumentException("evaluate needs --run DIR, or --model NAME and --weights FILE");
        }
        if (run != null && (model != null || weights != null || preprocessing.given())) {
            throw new IllegalArgumentException("--run brings its own model, weights and preprocessing: leave out those options");
        }
        if (split != null) {
            Choice.of("--split", split, SPLITS);
        }
        if (batch < 1) {
            throw new IllegalArgumentException("--batch is " + batch + ", expected at least 1");
        }
    }

    private OptionalDouble fraction() {
        return valFraction == null ? OptionalDouble.empty() : OptionalDouble.of(valFraction);
    }

    /** A flat folder is split as the run split it, so that what was trained on is not tested on. */
    private Dataset runData(CommonOptions common) {
        JsonNode options = Bundle.read(run).description().run().path("options");
        OptionalDouble share = valFraction == null && options.path("val-fraction").isNumber()
                ? OptionalDouble.of(options.get("val-fraction").asDouble()) : fraction();
        return open(common.given().orElse(options.path("seed").asLong(0)), share);
    }

    private Dataset open(long seed, OptionalDouble share) {
        return Dataset.open(data, seed, share, Limits.DEFAULT);
    }

    private int measure(Predictor predictor, Dataset dataset, CommonOptions.Machine machine, Terminal terminal) {
        dataset.warnings().forEach(w -> terminal.note("warning: " + w));
        Split pictures = chosen(dataset);
        terminal.say(predictor.model() + " on " + pictures + " of " + data);
        terminal.say("preprocessing: " + predictor.card());
        Evaluator.Outcome outcome;
        try (Progress progress = Progress.of(terminal, "evaluating", pictures.size())) {
            outcome = Evaluator.measure(predictor, pictures, machine.threads(), (done, all) -> progress.to(done, ""));
        }
        Evaluation e = outcome.evaluation();
        outcome.unreadable().forEach(r -> terminal.note("warning: left out: " + r));
        terminal.say(String.format("accuracy %.2f %% (%d of %d), loss %.4f, macro F1 %.4f, %.1f s", 100 * e.accuracy(), e.correct(), e.samples(),
                e.loss(), e.f1().macro(), e.seconds()));
        ObjectNode json = e.toJson();
        json.put("model", predictor.model()).put("split", pictures.name()).put("data", data.toString()).put("card", predictor.card().toString());
        json.put("unreadable", outcome.unreadable().size() + dataset.rejected().size());
        machine.describe(json);
        terminal.result(json);
        return ExitCode.DONE;
    }

    private Split chosen(Dataset dataset) {
        Split[] all = {dataset.train(), dataset.val(), dataset.test()};
        if (split != null) {
            Split one = all[SPLITS.indexOf(split)];
            if (one == null) {
                throw new DataException(data + ": has no split " + split + "; it has " + dataset);
            }
            return one;
        }
        return all[2] != null ? all[2] : all[1] != null ? all[1] : all[0];
    }
}
