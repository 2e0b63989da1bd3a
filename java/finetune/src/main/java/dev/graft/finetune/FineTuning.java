package dev.graft.finetune;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.data.Batch;
import dev.graft.data.DecodedCache;
import dev.graft.data.Loader;
import dev.graft.data.Pipeline;
import dev.graft.data.Split;
import dev.graft.engine.Param;
import dev.graft.evaluate.Evaluation;
import dev.graft.evaluate.Evaluator;
import dev.graft.model.Checkpoint;
import dev.graft.model.LowRankAdapter;
import dev.graft.model.Network;
import dev.graft.predict.Predictor;
import dev.graft.train.Diverged;
import dev.graft.train.EpochRecord;
import dev.graft.train.TrainObserver;
import dev.graft.train.Trainer;
import dev.graft.weights.Bundle;
import dev.graft.weights.CardKeys;
import dev.graft.weights.PeftFolder;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/**
 * One fine-tuning run: opened and checked, planned, trained, evaluated and saved. Use with try-with-resources; one thread.
 *
 * <pre>{@code
 * try (FineTuning run = FineTuning.of("squeezenet1_1").weights(checkpoint).data(pictures).strategy("head").epochs(60).out(folder).open()) {
 *     System.out.println(run.plan().table());
 *     FineTuningResult result = run.run();
 *     System.out.println(result.val().accuracy());
 * }
 * }</pre>
 */
public final class FineTuning implements AutoCloseable {
    private final Preparation prepared;
    private RunPlan plan;
    private MergedAdapter merged;

    private FineTuning(Preparation prepared) {
        this.prepared = prepared;
    }

    /** Begins to describe a run of this model. */
    public static FineTuningBuilder of(String model) {
        return new FineTuningBuilder(model);
    }

    static FineTuning open(Settings settings, CardKeys keys, Path preprocess) {
        return new FineTuning(Preparation.of(settings, keys, preprocess));
    }

    /** What would train, its bytes and its time. Times a step or two at the first call. */
    public RunPlan plan() {
        if (plan == null) {
            plan = RunPlanner.of(prepared);
        }
        return plan;
    }

    /** Warnings about the data, one line each, and pictures that were left out. */
    public List<String> warnings() {
        List<String> lines = new ArrayList<>(prepared.dataset.warnings());
        prepared.dataset.rejected().forEach(r -> lines.add("left out: " + r));
        return lines;
    }

    /** How the weights fitted the model; null for scratch. */
    public dev.graft.weights.LoadReport loadReport() {
        return prepared.report;
    }

    /** {@link #run(TrainObserver, BooleanSupplier)} that nobody watches or stops. */
    public FineTuningResult run() {
        return run(TrainObserver.SILENT, () -> false);
    }

    /**
     * Trains, evaluates and saves. Frozen tensors must hash as before, and trainable ones must have moved. An adapter is then merged:
     * what is evaluated and saved is the published network. The saved bundle is read back: its answers must be those of the
     * network in memory, bit for bit.
     *
     * @param stop asked after each step; true ends the run, and what was trained by then, if anything, is saved, unmeasured
     * @throws RunFailed if the loss is no longer finite, the check of the saved bundle fails, or it cannot be written where it
     *     should be, but in the folder for temporary files
     */
    public FineTuningResult run(TrainObserver observer, BooleanSupplier stop) {
        try {
            return trainAndSave(observer, stop);
        } finally {
            if (merged != null) {
                merged.clear(prepared.parameters);
                merged = null;
            }
        }
    }

    private FineTuningResult trainAndSave(TrainObserver observer, BooleanSupplier stop) {
        long start = System.nanoTime();
        if (prepared.settings.out() != null) {
            Bundle.requireSpace(prepared.settings.out(), 4 * prepared.network.graph().parameters().stream().mapToLong(Param::count).sum());
        }
        Set<String> live = new LinkedHashSet<>();
        prepared.stages.forEach(s -> live.addAll(s.live()));
        List<String> names = prepared.network.graph().parameters().stream().map(p -> p.value().name()).toList();
        Fingerprints before = Fingerprints.of(prepared.parameters, names);
        Trainer trainer = new Trainer(prepared.network, prepared.parameters, prepared.settings.method(), prepared.stages, prepared.data,
                prepared.settings.train(), observer, stop);
        try {
            trainer.run();
        } catch (Diverged e) {
            Path kept = keeps(trainer);
            if (kept != null) {
                merge();
                save(trainer.history(), null, null);
            }
            throw new RunFailed(e.getMessage(), kept, e);
        }
        List<String> disturbed = before.changedBut(live, prepared.parameters);
        if (!disturbed.isEmpty()) {
            throw new RunFailed("frozen tensors changed: " + disturbed, null, null);
        }
        if (!trainer.interrupted()) {
            List<String> still = before.unmoved(live, prepared.parameters);
            if (!still.isEmpty()) {
                observer.warning("trainable tensors that did not move: " + still);
            }
        }
        merge();
        try (Predictor predictor = predictor(prepared.published)) {
            // whoever ends a run waits for it to be saved, and may not wait for measurements
            boolean measured = !trainer.interrupted();
            Evaluation val = measured ? evaluate(predictor, prepared.dataset.val(), observer) : null;
            Evaluation test = measured ? evaluate(predictor, prepared.dataset.test(), observer) : null;
            Path kept = keeps(trainer);
            if (kept != null) {
                save(trainer.history(), val, test);
                compareSaved(predictor);
            }
            List<EpochRecord> history = trainer.history();
            double best = trainer.bestEpoch() > 0 ? history.get(trainer.bestEpoch() - 1).valAccuracy() : 0;
            long trainable = prepared.stages.get(prepared.stages.size() - 1).trainable().stream()
                    .mapToLong(n -> prepared.parameters.declaration(n).count()).sum();
            long parameters = prepared.network.graph().parameters().stream().filter(p -> !p.buffer()).mapToLong(p -> p.count()).sum();
            return new FineTuningResult(prepared.settings, kept, (System.nanoTime() - start) / 1e9, trainable, parameters, val,
                    test, trainer.bestEpoch(), best, trainer.interrupted(), history, merged);
        }
    }

    private Predictor predictor(Network network) {
        return Predictor.of(network, prepared.parameters, prepared.card, prepared.dataset.classes(), prepared.settings.train().batch(),
                prepared.settings.train().precision());
    }

    private void merge() {
        if (prepared.adapter != null) {
            merged = MergedAdapter.merge(prepared.adapter, prepared.parameters, () -> firstLogits(prepared.network),
                    () -> firstLogits(prepared.published));
        }
    }

    private float[] firstLogits(Network network) {
        try (Predictor predictor = predictor(network)) {
            float[][] logits = new float[1][];
            firstBatch(pictures -> logits[0] = predictor.logits(pictures));
            return logits[0] == null ? new float[0] : logits[0];
        }
    }

    // Where the result is saved: nowhere if no folder was asked for or the run ended before it had trained anything.
    private Path keeps(Trainer trainer) {
        return trainer.history().isEmpty() ? null : prepared.settings.out();
    }

    private Evaluation evaluate(Predictor predictor, Split split, TrainObserver observer) {
        return split == null ? null : Evaluator.evaluate(predictor, split, prepared.settings.threads(),
                (done, all) -> observer.pass("evaluation on " + split.name(), done, all));
    }

    private void save(List<EpochRecord> history, Evaluation val, Evaluation test) {
        ObjectNode details = prepared.settings.toJson();
        ObjectNode notes = details.objectNode();
        notes.set("options", details);
        notes.put("method", prepared.settings.method().text());
        notes.set("history", FineTuningResult.historyJson(history));
        notes.set("val", val == null ? null : val.toJson());
        notes.set("test", test == null ? null : test.toJson());
        if (merged != null) {
            notes.set("merge", merged.toJson());
        }
        try {
            write(prepared.settings.out(), prepared.settings.overwrite(), notes);
        } catch (UncheckedIOException refused) {
            // a disk that filled up meanwhile must not cost the result
            Path elsewhere = Path.of(System.getProperty("java.io.tmpdir"), "graft-result-" + UUID.randomUUID());
            try {
                write(elsewhere, false, notes);
            } catch (UncheckedIOException again) {
                refused.addSuppressed(again);
                throw refused;
            }
            throw new RunFailed(refused.getMessage(), elsewhere, refused);
        }
    }

    private void write(Path folder, boolean overwrite, ObjectNode notes) {
        Bundle.write(folder, overwrite, prepared.published.name(), prepared.dataset.classes(), prepared.card, prepared.settings.weights(), notes,
                Checkpoint.tensors(prepared.published, prepared.parameters), this::saveAdapter);
    }

    private void saveAdapter(Path folder) {
        if (merged != null) {
            merged.adapter().save(folder.resolve(Bundle.ADAPTER), false, prepared.parameters,
                    Bundle.metadata(prepared.published.name(), prepared.dataset.classes(), prepared.card));
        }
    }

    // On one batch: a reload that differs at all differs there.
    private void compareSaved(Predictor inMemory) {
        if (merged != null) {
            try (PeftFolder folder = PeftFolder.open(prepared.settings.out().resolve(Bundle.ADAPTER))) {
                LowRankAdapter.of(prepared.published, folder, null);
            }
        }
        try (Predictor saved = Predictor.open(prepared.settings.out(), prepared.settings.device(), prepared.settings.threads(),
                prepared.settings.train().batch(), prepared.settings.train().precision())) {
            firstBatch(pictures -> {
                if (!Arrays.equals(inMemory.logits(pictures), saved.logits(pictures))) {
                    throw new RunFailed("the saved bundle " + prepared.settings.out() + " answers otherwise than the trained network", null, null);
                }
            });
        }
    }

    // Of the validation pictures, else of those trained on; nothing where none can be read.
    private void firstBatch(Consumer<Batch> use) {
        Split split = prepared.dataset.val() != null ? prepared.dataset.val() : prepared.dataset.train();
        try (Loader loader = Loader.sequential(split, Pipeline.evaluation(prepared.card), prepared.settings.train().batch(), 1, new DecodedCache(0))) {
            loader.begin(0);
            Batch pictures = loader.next();
            if (pictures != null) {
                use.accept(pictures);
            }
        }
    }

    @Override
    public void close() {
        prepared.close();
    }
}
