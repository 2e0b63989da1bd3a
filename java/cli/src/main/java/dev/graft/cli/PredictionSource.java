package dev.graft.cli;

import dev.graft.model.Architecture;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.predict.Predictor;
import dev.graft.weights.Bundle;
import dev.graft.weights.Card;
import dev.graft.weights.CardChoice;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.WeightFile;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Options that say what predicts: a result, or a checkpoint, and on top of it perhaps an adapter. */
final class PredictionSource {
    private static final String NAME = "adapter";

    @Option(names = "--run", paramLabel = "DIR", description = "a result of finetune")
    Path run;

    @Option(names = "--model", paramLabel = "NAME", description = "see graft models")
    String model;

    @Option(names = "--weights", paramLabel = "FILE", description = "a checkpoint or a former result")
    Path weights;

    @Option(names = "--adapter", paramLabel = "DIR", description = "a low-rank adapter on top: a folder as PEFT saves it, or a result that has one")
    Path adapter;

    @Mixin
    Preprocessing preprocessing;

    void check() {
        if (run == null && (model == null || weights == null)) {
            throw new IllegalArgumentException("predict needs --run DIR, or --model NAME and --weights FILE");
        }
        if (run != null && (model != null || weights != null || preprocessing.given())) {
            throw new IllegalArgumentException("--run brings its own model, weights and preprocessing: leave out those options");
        }
    }

    /** What predicts without the adapter. */
    Predictor open(CommonOptions.Machine machine, int batch, Terminal terminal) {
        if (run != null) {
            return Predictor.open(run, machine.device(), machine.threads(), batch, machine.precision());
        }
        Architecture architecture = Models.named(model);
        try (WeightFile file = Bundle.openWeights(weights)) {
            int outputs = Heads.outputs(architecture, file);
            List<String> named = Bundle.classNames(file);
            Card card = card(file, architecture);
            Network network = architecture.network(card.crop(), outputs > 0 ? outputs : architecture.classes());
            terminal.note("preprocessing: " + card);
            List<String> classes = named.isEmpty() ? IntStream.range(0, network.classes()).mapToObj(Integer::toString).toList() : named;
            return Predictor.open(network, file, card, classes, machine.device(), machine.threads(), batch, machine.precision());
        }
    }

    /** The same with the adapter, if there is one. */
    Predictor adapted(Predictor base) {
        return adapter == null ? base : base.withAdapter(NAME, folder(adapter));
    }

    /** The folder of an adapter: itself, or the one in a result. */
    static Path folder(Path given) {
        return !PeftFolder.is(given) && PeftFolder.is(given.resolve(Bundle.ADAPTER)) ? given.resolve(Bundle.ADAPTER) : given;
    }

    /** An adapter was trained on pictures prepared as its own card says. */
    private Card card(WeightFile base, Architecture architecture) {
        if (adapter != null) {
            try (PeftFolder peft = PeftFolder.open(folder(adapter))) {
                if (peft.file().metadata().containsKey(Card.METADATA_KEY)) {
                    return CardChoice.of(preprocessing.keys(), preprocessing.file, peft.file(), architecture.card());
                }
            }
        }
        return CardChoice.of(preprocessing.keys(), preprocessing.file, base, architecture.card());
    }
}
