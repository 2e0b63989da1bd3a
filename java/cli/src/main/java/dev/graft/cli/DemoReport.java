package dev.graft.cli;

import dev.graft.evaluate.Interval;
import dev.graft.finetune.FineTuningResult;
import dev.graft.predict.Prediction;
import dev.graft.predict.Predictor;
import dev.graft.report.ConfusionTable;
import dev.graft.report.LearningCurves;
import dev.graft.report.Notes;
import dev.graft.report.Report;
import dev.graft.report.ResultTable;
import dev.graft.report.SampleImages;
import dev.graft.train.EpochRecord;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;

/** The page of the demonstration. */
final class DemoReport {
    private static final int PICTURES_A_CLASS = 3;

    private DemoReport() {
    }

    static Report of(DemoRuns runs, long seed) {
        Map<String, List<FineTuningResult>> results = runs.results();
        String best = best(results);
        FineTuningResult shown = results.get(best).get(0);
        List<String> classes = shown.test().classes().stream().map(c -> c.name()).toList();
        return new Report("Fine-tuning with few pictures",
                "A small network that knows " + Shape.SOURCE.size() + " drawn figures learns " + Shape.TARGET.size() + " others from "
                        + DemoRuns.TRAINING + " pictures each.",
                List.of(table(results),
                        curves("Validation accuracy", "accuracy on validation pictures", true, results, EpochRecord::valAccuracy),
                        curves("Training loss", "mean loss of the epoch", false, results, EpochRecord::loss),
                        new ConfusionTable("Confusions: " + best + ", seed " + seed, classes, shown.test().confusion()),
                        new SampleImages("Test pictures: " + best + ", seed " + seed, samples(runs, best)), notes()));
    }

    private static String best(Map<String, List<FineTuningResult>> results) {
        String best = null;
        double most = -1;
        for (Map.Entry<String, List<FineTuningResult>> entry : results.entrySet()) {
            double mean = Interval.of(entry.getValue().stream().mapToDouble(r -> r.test().accuracy()).toArray()).mean();
            if (mean > most) {
                most = mean;
                best = entry.getKey();
            }
        }
        return best;
    }

    private static ResultTable table(Map<String, List<FineTuningResult>> results) {
        return new ResultTable("Strategies", results.entrySet().stream().map(e -> new ResultTable.Row(e.getKey(), e.getValue().get(0).trainable(),
                e.getValue().get(0).parameters(), e.getValue().stream().map(r -> r.test().accuracy()).toList(),
                e.getValue().stream().mapToDouble(FineTuningResult::seconds).average().orElseThrow(), null)).toList());
    }

    private static LearningCurves curves(String title, String measure, boolean percent, Map<String, List<FineTuningResult>> results,
                                         Function<EpochRecord, Double> value) {
        List<LearningCurves.Curve> curves = new ArrayList<>();
        results.forEach((strategy, runs) -> {
            for (FineTuningResult run : runs) {
                TreeMap<Integer, Double> values = new TreeMap<>();
                run.history().forEach(record -> values.put(record.epoch(), value.apply(record)));
                curves.add(new LearningCurves.Curve(strategy, run.settings().train().seed(), values));
            }
        });
        return new LearningCurves(title, measure, percent, curves);
    }

    private static List<SampleImages.Image> samples(DemoRuns runs, String strategy) {
        List<SampleImages.Image> images = new ArrayList<>();
        try (Predictor predictor = Predictor.open(runs.bundle(strategy, 0))) {
            for (Shape figure : Shape.TARGET) {
                List<Path> files = new ArrayList<>();
                for (int number = 0; number < PICTURES_A_CLASS; number++) {
                    files.add(runs.testPicture(figure, number));
                }
                for (Prediction p : predictor.predict(files, 1)) {
                    images.add(new SampleImages.Image(Files.readAllBytes(p.file()), figure.label(), p.label(), p.probability()));
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("a drawn picture cannot be read: " + e.getMessage(), e);
        }
        return images;
    }

    private static Notes notes() {
        return new Notes("What was done", List.of(
                "The pictures are drawn, 32 pixels a side: one figure of any place, size, angle and colour. The network, " + DemoRuns.MODEL
                        + ", was trained on " + Shape.SOURCE.stream().map(Shape::label).toList() + " before smooth backgrounds. Here it learns "
                        + Shape.TARGET.stream().map(Shape::label).toList() + " before striped ones, with less contrast and more noise.",
                "scratch starts from random numbers. head trains a new last layer on frozen features. partial trains the last group of layers"
                        + " and the head. full trains everything from the known weights.",
                "Each seed draws " + DemoRuns.TRAINING + " training and " + DemoRuns.VALIDATION + " validation pictures a class of its own; the "
                        + DemoRuns.TESTING + " test pictures a class are the same for all and were used once, after the last epoch. Every run had "
                        + DemoRuns.EPOCHS + " epochs; nothing was chosen by validation.",
                "The same command with the same seed gives the same figures on the same kind of processor."));
    }
}
