package dev.graft.finetune;

import dev.graft.data.Dataset;
import dev.graft.data.Limits;
import dev.graft.data.Split;
import dev.graft.engine.Device;
import dev.graft.engine.Parameters;
import dev.graft.engine.Precision;
import dev.graft.evaluate.Evaluation;
import dev.graft.evaluate.Evaluator;
import dev.graft.evaluate.Interval;
import dev.graft.model.Architecture;
import dev.graft.model.Checkpoint;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.predict.Predictor;
import dev.graft.train.Schedule;
import dev.graft.train.TrainObserver;
import dev.graft.weights.Bundle;
import dev.graft.weights.Card;
import dev.graft.weights.CardChoice;
import dev.graft.weights.CardKeys;
import dev.graft.weights.WeightFile;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.function.Consumer;
import java.util.function.Function;
import javax.imageio.ImageIO;

/**
 * Reruns the accuracy figures that the project holds itself to, on real checkpoints and pictures, into one CSV: a row a
 * run, appended as it comes, and a row a mean. Not a test: it takes about half an hour. Arguments: folder of the data, CSV,
 * and words; only figures whose name contains one of them run, and only in one precision where a word is {@code f32} or {@code bf16}.
 * The system property {@code graft.test.device} names the device, {@code cpu} without it.
 */
final class AccuracyFigures {
    private static final String DEVICE = System.getProperty("graft.test.device", "cpu");
    private static final String JPEGS = "cifar10_jpeg_5k_2k";
    private static final int[] THREE = {0, 1, 2};
    private static final int[] FIVE = {0, 1, 2, 3, 4};

    private final Path weights;
    private final Path images;
    private final AccuracyCsv csv;
    private final List<String> words;
    private final List<Precision> precisions;

    private AccuracyFigures(Path data, Path csv, List<String> words) throws IOException {
        this.weights = data.resolve("weights");
        this.images = data.resolve("images");
        this.csv = new AccuracyCsv(csv);
        this.words = words.stream().filter(w -> Arrays.stream(Precision.values()).noneMatch(p -> name(p).equals(w))).toList();
        List<Precision> named = Arrays.stream(Precision.values()).filter(p -> words.contains(name(p))).toList();
        this.precisions = named.isEmpty() ? List.of(Precision.values()) : named;
    }

    public static void main(String[] arguments) throws IOException {
        List<String> given = List.of(arguments);
        AccuracyFigures figures = new AccuracyFigures(Path.of(given.get(0)), Path.of(given.get(1)), given.subList(2, given.size()));
        figures.untouched();
        figures.heads();
        figures.cifar();
        figures.hymenoptera();
        figures.transformer();
    }

    // Published checkpoints as they are; 2 of 2000 pictures are 0.1 points.
    private void untouched() throws IOException {
        Path sheets = wanted("untouched") && precisions.contains(Precision.F32) ? CifarSheets.unpack(images) : null;
        untouched("cifar_resnet20", "cifar_resnet20-12fca82f.th", sheets, 81.45, 99.85);
        untouched("cifar_resnet56", "cifar_resnet56-4bfd9763.th", sheets, 83.85, 100.00);
    }

    private void untouched(String model, String file, Path sheets, double jpeg, double lossless) {
        if (wanted("untouched") && precisions.contains(Precision.F32)) {
            evaluate("untouched " + model + " jpeg test", model, weights.resolve(file), Precision.F32, images.resolve(JPEGS + ".zip"), true, jpeg - 0.1, jpeg);
            evaluate("untouched " + model + " lossless sheets", model, weights.resolve(file), Precision.F32, sheets, false, lossless - 0.1, lossless);
        }
    }

    // By the network in F32, whatever trained it.
    private void evaluate(String figure, String model, Path file, Precision trained, Path data, boolean test, double floor, double reference) {
        long start = System.nanoTime();
        Architecture architecture = Models.named(model);
        try (WeightFile weightFile = WeightFile.open(file);
                Dataset dataset = Dataset.open(data, 0, OptionalDouble.empty(), Limits.DEFAULT);
                Device device = Device.open(DEVICE, Device.defaultThreads(), 1);
                Parameters parameters = device.parameters()) {
            Card card = CardChoice.of(CardKeys.NONE, null, weightFile, architecture.card());
            Network network = architecture.network(card.crop(), dataset.classes().size());
            Checkpoint.load(network, weightFile, List.of(), 0, parameters);
            try (Predictor predictor = Predictor.of(network, parameters, card, dataset.classes(), 100)) {
                Split split = test ? dataset.test() : dataset.train();
                Evaluation e = Evaluator.evaluate(predictor, split, Device.defaultThreads(), (done, all) -> { });
                csv.row(figure, name(trained), "", 100 * e.accuracy(), floor, reference, (System.nanoTime() - start) / 1e9, e.samples() + " pictures");
            }
        }
    }

    private void heads() {
        head("squeezenet1_1", "squeezenet1_1_caffe.pth", "hymenoptera", 89.9);
        head("squeezenet1_1", "squeezenet1_1_caffe.pth", "trashnet_small", 75.4);
        head("mobilenet_v1_025_leaky", "mobilenetV1X0.25_pretrain.tar", "hymenoptera", 88.1);
        head("mobilenet_v1_025_leaky", "mobilenetV1X0.25_pretrain.tar", "trashnet_small", 72.2);
        head("mobilenet_v1_025", "mobilenet_v1_0.25_224_keras.safetensors", "hymenoptera", 87.7);
        head("mobilenet_v1_025", "mobilenet_v1_0.25_224_keras.safetensors", "trashnet_small", 69.2);
    }

    private void head(String model, String file, String data, double reference) {
        runs("head " + model + " " + data, model, file, data, FIVE, reference - 1, reference,
                b -> b.strategy("head").epochs(60).batch(32));
    }

    private void cifar() {
        int[] two = {0, 1};
        String file = "cifar_resnet20-12fca82f.th";
        runs("cifar all layers", "cifar_resnet20", file, JPEGS, two, 84.5, 85.0, b -> b.strategy("full").epochs(3).batch(100).rate(.01));
        // The recipe that the reference was measured with: flips, and a rate that falls to zero.
        runs("cifar new head", "cifar_resnet20", file, JPEGS, two, 82.5, 83.2,
                b -> b.strategy("head").epochs(3).batch(100).rate(.1).schedule(Schedule.COSINE).augment("flip"));
        runs("cifar new head, defaults", "cifar_resnet20", file, JPEGS, two, 82.5, 83.2,
                b -> b.strategy("head").epochs(3).batch(100).rate(.1));
        runs("cifar scratch", "cifar_resnet20", file, JPEGS, two, Double.NaN, 40, b -> b.strategy("scratch").epochs(3).batch(100).rate(.1));
    }

    private void hymenoptera() {
        hymenoptera("all layers", 83.5, 86.3, b -> b.strategy("full").rate(.01));
        hymenoptera("scratch", Double.NaN, 61.2, b -> b.strategy("scratch").rate(.05));
        hymenoptera("gradual every 2", Double.NaN, Double.NaN, b -> b.strategy("gradual:every=2").rate(.01));
        hymenoptera("all layers l2sp .01", Double.NaN, Double.NaN, b -> b.strategy("full").rate(.01).l2sp(.01));
    }

    private void hymenoptera(String what, double floor, double reference, Consumer<FineTuningBuilder> strategy) {
        runs("hymenoptera " + what, "mobilenet_v1_025_leaky", "mobilenetV1X0.25_pretrain.tar", "hymenoptera", FIVE, floor, reference,
                b -> strategy.accept(b.epochs(12).batch(16).schedule(Schedule.STEP).augment("crop+flip")));
    }

    // A small vision transformer, trained on the lossless pictures alone and adapted to the JPEG ones by one recipe.
    private void transformer() throws IOException {
        if (!wanted("vit_cifar")) {
            return;
        }
        Map<Precision, Path> sources = new EnumMap<>(Precision.class);
        for (Precision precision : precisions) {
            sources.put(precision, transformerSource(precision));
        }
        adapted(sources, "vit_cifar head", "head", 2e-3, THREE, 44.45);
        adapted(sources, "vit_cifar lora on all linear layers", "lora:r=8,alpha=16,targets=*.qkv+*.proj+*.fc1+*.fc2", 3e-3, THREE, 49.15);
        adapted(sources, "vit_cifar lora on qkv", "lora:r=8,alpha=16,targets=*.qkv", 2e-3, new int[] {0}, 46.20);
        adapted(sources, "vit_cifar all layers", "full", 3e-4, new int[] {0}, 50.10);
    }

    private void adapted(Map<Precision, Path> sources, String figure, String strategy, double rate, int[] seeds, double reference) throws IOException {
        Path folder = Files.createTempDirectory("graft-vit");
        List<Path> outs = new ArrayList<>();
        runs(figure, "vit_cifar", sources::get, JPEGS, seeds, Double.NaN, reference, b -> {
            outs.add(folder.resolve(String.valueOf(outs.size())));
            transformer(b.strategy(strategy).epochs(10).rate(rate)).out(outs.get(outs.size() - 1));
        });
        for (int i = 0; i < outs.size(); i++) {
            if (Files.exists(outs.get(i).resolve(Bundle.ADAPTER))) {
                Precision precision = precisions.get(i / seeds.length);
                kept(figure, precision, seeds[i % seeds.length], sources.get(precision).getParent(), outs.get(i));
            }
        }
    }

    private void kept(String figure, Precision precision, int seed, Path source, Path out) {
        long start = System.nanoTime();
        KeptAnswers kept = KeptAnswers.of(source, out, images.resolve(JPEGS + ".zip"));
        csv.row(figure + ": answers kept by merge and PEFT folder", name(precision), String.valueOf(seed), 100.0 * kept.same() / kept.pictures(), 100, 100,
                (System.nanoTime() - start) / 1e9, String.format(Locale.ROOT, "largest difference of a logit %.1e", kept.drift()));
    }

    private Path transformerSource(Precision precision) throws IOException {
        Path out = Files.createTempDirectory("graft-vit").resolve("source");
        FineTuningBuilder source = FineTuning.of("vit_cifar").device(DEVICE).strategy("scratch").data(CifarSheets.unpack(images)).epochs(40).rate(1e-3);
        try (FineTuning run = transformer(source).precision(precision).out(out).open()) {
            run.run(TrainObserver.SILENT, () -> false);
        }
        Path weights = out.resolve(Bundle.WEIGHTS);
        evaluate("vit_cifar from the lossless sheets: jpeg test", "vit_cifar", weights, precision, images.resolve(JPEGS + ".zip"), true,
                Double.NaN, 41.95);
        return weights;
    }

    private static FineTuningBuilder transformer(FineTuningBuilder b) {
        return b.optimizer("adamw").weightDecay(.05).batch(100).schedule(Schedule.ONECYCLE).augment("flip");
    }

    private void runs(String figure, String model, String file, String data, int[] seeds, double floor, double reference,
                      Consumer<FineTuningBuilder> how) {
        runs(figure, model, precision -> weights.resolve(file), data, seeds, floor, reference, how);
    }

    private void runs(String figure, String model, Function<Precision, Path> file, String data, int[] seeds, double floor, double reference,
                      Consumer<FineTuningBuilder> how) {
        if (!wanted(figure)) {
            return;
        }
        for (Precision precision : precisions) {
            List<Double> accuracies = new ArrayList<>();
            double seconds = 0;
            for (int seed : seeds) {
                FineTuningBuilder b = FineTuning.of(model).device(DEVICE).weights(file.apply(precision)).data(images.resolve(data + ".zip"));
                how.accept(b);
                try (FineTuning run = b.precision(precision).seed(seed).open()) {
                    FineTuningResult result = run.run(TrainObserver.SILENT, () -> false);
                    Evaluation e = result.test() != null ? result.test() : result.val();
                    accuracies.add(100 * e.accuracy());
                    seconds += result.seconds();
                    csv.row(figure, name(precision), String.valueOf(seed), 100 * e.accuracy(), floor, reference, result.seconds(), "");
                }
            }
            Interval mean = Interval.of(accuracies.stream().mapToDouble(Double::doubleValue).toArray());
            csv.row(figure, name(precision), "mean", mean.mean(), floor, reference, seconds / seeds.length,
                    seeds.length > 1 ? String.format(Locale.ROOT, "deviation %.2f", mean.deviation()) : "one seed");
        }
    }

    private boolean wanted(String figure) {
        return words.isEmpty() || words.stream().anyMatch(w -> figure.contains(w) || w.startsWith("untouched") && figure.startsWith("untouched"));
    }

    private static String name(Precision precision) {
        return precision.name().toLowerCase(Locale.ROOT);
    }
}
