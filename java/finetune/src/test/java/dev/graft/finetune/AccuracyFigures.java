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
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.function.Consumer;
import javax.imageio.ImageIO;

/**
 * Reruns the accuracy figures that the project holds itself to, on real checkpoints and pictures, into one CSV: a row a
 * run, appended as it comes, and a row a mean. Not a test: it takes about half an hour. Arguments: folder of the data, CSV,
 * and words; only figures whose name contains one of them run, and only in one precision where a word is {@code f32} or {@code bf16}.
 */
final class AccuracyFigures {
    private static final String HEADER = "figure,precision,seed,accuracy,floor,reference,seconds,note\n";
    private static final List<String> CIFAR = List.of("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck");
    private static final int[] FIVE = {0, 1, 2, 3, 4};

    private final Path weights;
    private final Path images;
    private final Path csv;
    private final List<String> words;
    private final List<Precision> precisions;

    private AccuracyFigures(Path data, Path csv, List<String> words) {
        this.weights = data.resolve("weights");
        this.images = data.resolve("images");
        this.csv = csv;
        this.words = words.stream().filter(w -> Arrays.stream(Precision.values()).noneMatch(p -> name(p).equals(w))).toList();
        List<Precision> named = Arrays.stream(Precision.values()).filter(p -> words.contains(name(p))).toList();
        this.precisions = named.isEmpty() ? List.of(Precision.values()) : named;
    }

    public static void main(String[] arguments) throws IOException {
        List<String> given = List.of(arguments);
        AccuracyFigures figures = new AccuracyFigures(Path.of(given.get(0)), Path.of(given.get(1)), given.subList(2, given.size()));
        if (!Files.exists(figures.csv)) {
            Files.writeString(figures.csv, HEADER);
        }
        figures.untouched();
        figures.heads();
        figures.cifar();
        figures.hymenoptera();
    }

    // Published checkpoints as they are; 2 of 2000 pictures are 0.1 points.
    private void untouched() throws IOException {
        Path sheets = wanted("untouched") && precisions.contains(Precision.F32) ? sheets() : null;
        untouched("cifar_resnet20", "cifar_resnet20-12fca82f.th", sheets, 81.45, 99.85);
        untouched("cifar_resnet56", "cifar_resnet56-4bfd9763.th", sheets, 83.85, 100.00);
    }

    private void untouched(String model, String file, Path sheets, double jpeg, double lossless) {
        if (wanted("untouched") && precisions.contains(Precision.F32)) {
            evaluate("untouched " + model + " jpeg test", model, file, images.resolve("cifar10_jpeg_5k_2k.zip"), true, jpeg);
            evaluate("untouched " + model + " lossless sheets", model, file, sheets, false, lossless);
        }
    }

    private void evaluate(String figure, String model, String file, Path data, boolean test, double reference) {
        long start = System.nanoTime();
        Architecture architecture = Models.named(model);
        try (WeightFile weightFile = WeightFile.open(weights.resolve(file));
                Dataset dataset = Dataset.open(data, 0, OptionalDouble.empty(), Limits.DEFAULT);
                Device device = Device.open("cpu", Device.defaultThreads(), 1);
                Parameters parameters = device.parameters()) {
            Card card = CardChoice.of(CardKeys.NONE, null, weightFile, architecture.card());
            Network network = architecture.network(card.crop(), dataset.classes().size());
            Checkpoint.load(network, weightFile, List.of(), 0, parameters);
            try (Predictor predictor = Predictor.of(network, parameters, card, dataset.classes(), 100)) {
                Split split = test ? dataset.test() : dataset.train();
                Evaluation e = Evaluator.evaluate(predictor, split, Device.defaultThreads(), (done, all) -> { });
                row(figure, "f32", "", 100 * e.accuracy(), reference - 0.1, reference, (System.nanoTime() - start) / 1e9, e.samples() + " pictures");
            }
        }
    }

    // The two sheets as class folders under train/: a row of a sheet is a picture, its label a line of the text.
    private Path sheets() throws IOException {
        Path folder = Files.createTempDirectory("graft-sheets");
        int number = 0;
        for (int sheet = 0; sheet < 2; sheet++) {
            BufferedImage rows = ImageIO.read(images.resolve("cifar10_sheet_" + sheet + ".png").toFile());
            List<String> labels = Files.readAllLines(images.resolve("cifar10_sheet_" + sheet + ".labels.txt"));
            for (int row = 0; row < rows.getHeight(); row++) {
                BufferedImage picture = new BufferedImage(32, 32, BufferedImage.TYPE_INT_RGB);
                for (int i = 0; i < 1024; i++) {
                    picture.setRGB(i % 32, i / 32, rows.getRGB(i, row));
                }
                Path to = folder.resolve("train").resolve(CIFAR.get(Integer.parseInt(labels.get(row).strip())));
                Files.createDirectories(to);
                ImageIO.write(picture, "png", to.resolve(String.format("%04d.png", number++)).toFile());
            }
        }
        return folder;
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
        runs("cifar all layers", "cifar_resnet20", file, "cifar10_jpeg_5k_2k", two, 84.5, 85.0, b -> b.strategy("full").epochs(3).batch(100).rate(.01));
        // The recipe that the reference was measured with: flips, and a rate that falls to zero.
        runs("cifar new head", "cifar_resnet20", file, "cifar10_jpeg_5k_2k", two, 82.5, 83.2,
                b -> b.strategy("head").epochs(3).batch(100).rate(.1).schedule(Schedule.COSINE).augment("flip"));
        runs("cifar new head, defaults", "cifar_resnet20", file, "cifar10_jpeg_5k_2k", two, 82.5, 83.2,
                b -> b.strategy("head").epochs(3).batch(100).rate(.1));
        runs("cifar scratch", "cifar_resnet20", file, "cifar10_jpeg_5k_2k", two, Double.NaN, 40, b -> b.strategy("scratch").epochs(3).batch(100).rate(.1));
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

    private void runs(String figure, String model, String file, String data, int[] seeds, double floor, double reference,
                      Consumer<FineTuningBuilder> how) {
        if (!wanted(figure)) {
            return;
        }
        for (Precision precision : precisions) {
            List<Double> accuracies = new ArrayList<>();
            double seconds = 0;
            for (int seed : seeds) {
                FineTuningBuilder b = FineTuning.of(model).weights(weights.resolve(file)).data(images.resolve(data + ".zip"));
                how.accept(b);
                try (FineTuning run = b.precision(precision).seed(seed).open()) {
                    FineTuningResult result = run.run(TrainObserver.SILENT, () -> false);
                    Evaluation e = result.test() != null ? result.test() : result.val();
                    accuracies.add(100 * e.accuracy());
                    seconds += result.seconds();
                    row(figure, name(precision), String.valueOf(seed), 100 * e.accuracy(), floor, reference, result.seconds(), "");
                }
            }
            Interval mean = Interval.of(accuracies.stream().mapToDouble(Double::doubleValue).toArray());
            row(figure, name(precision), "mean", mean.mean(), floor, reference, seconds / seeds.length,
                    String.format(Locale.ROOT, "deviation %.2f", mean.deviation()));
        }
    }

    private boolean wanted(String figure) {
        return words.isEmpty() || words.stream().anyMatch(w -> figure.contains(w) || w.startsWith("untouched") && figure.startsWith("untouched"));
    }

    private static String name(Precision precision) {
        return precision.name().toLowerCase(Locale.ROOT);
    }

    private void row(String figure, String precision, String seed, double accuracy, double floor, double reference, double seconds, String note) {
        String line = String.format(Locale.ROOT, "%s,%s,%s,%.2f,%s,%s,%.1f,%s%n", figure, precision, seed, accuracy, number(floor), number(reference),
                seconds, note);
        System.out.print(line);
        try {
            Files.writeString(csv, line, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(csv + ": cannot be written", e);
        }
    }

    private static String number(double x) {
        return Double.isNaN(x) ? "" : String.format(Locale.ROOT, "%.2f", x);
    }
}
