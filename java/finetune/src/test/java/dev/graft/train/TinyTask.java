package dev.graft.train;

import dev.graft.data.Augmentation;
import dev.graft.data.Dataset;
import dev.graft.data.Pipeline;
import dev.graft.engine.Conv2d;
import dev.graft.engine.DType;
import dev.graft.engine.Device;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Origin;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.engine.Philox;
import dev.graft.engine.Value;
import dev.graft.model.Checkpoint;
import dev.graft.model.LayerGroup;
import dev.graft.model.Network;
import dev.graft.model.Start;
import dev.graft.tune.Method;
import dev.graft.tune.Stage;
import dev.graft.tune.Strategy;
import dev.graft.weights.Card;
import dev.graft.weights.ChannelOrder;
import dev.graft.weights.Interpolation;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import javax.imageio.ImageIO;

/**
 * A network of two convolutions with norms and a linear head, and pictures of three classes to train it on: 22 of 8x8 pixels, and 9
 * to validate on. Weights of the trunk count as a checkpoint's.
 */
final class TinyTask implements AutoCloseable {
    static final int TRAIN = 22;
    static final int VAL = 9;
    private static final int SIZE = 8;
    private static final int CLASSES = 3;

    final Network network;
    final Dataset dataset;
    final Device device = Device.open("cpu", 1, 1);
    private final Card card = new Card(SIZE, SIZE, new float[] {.5f, .5f, .5f}, new float[] {.25f, .25f, .25f}, Interpolation.BILINEAR,
            ChannelOrder.RGB, "test");
    /** Of the last run: as its strategy trains the network. */
    Network trained;
    Parameters parameters;
    Trainer trainer;

    TinyTask(Path folder, double dropout) throws IOException {
        network = network(dropout);
        pictures(folder.resolve("train"), TRAIN);
        pictures(folder.resolve("val"), VAL);
        dataset = Dataset.open(folder, 0);
    }

    static Network network(double dropout) {
        GraphBuilder b = Graph.builder();
        Map<String, Start> starts = new HashMap<>();
        Value x = b.input(Network.PIXELS, DType.F32, 0, SIZE, SIZE, 3);
        x = layer(b, starts, "1", x, 3);
        x = layer(b, starts, "2", x, SIZE);
        x = b.globalPool("pool", x, false, false);
        b.output(Network.FEATURES, x);
        x = dropout > 0 ? b.dropout("dropout", x, dropout) : x;
        starts.put("fc.weight", Start.torchDefault(SIZE));
        starts.put("fc.bias", Start.torchDefault(SIZE));
        Value logits = b.linear("fc", x, b.parameter("fc.weight", CLASSES, SIZE), b.parameter("fc.bias", CLASSES));
        Graph graph = b.output(Network.LOGITS, logits).build();
        List<String> all = graph.parameters().stream().map(Param::name).toList();
        List<LayerGroup> groups = List.of(new LayerGroup("stem", all.subList(0, 5)), new LayerGroup("layer", all.subList(5, 10)),
                new LayerGroup("head", all.subList(10, 12)));
        return new Network("tiny", graph, SIZE, CLASSES, groups, starts, List.of());
    }

    private static Value layer(GraphBuilder b, Map<String, Start> starts, String number, Value x, int in) {
        String conv = "conv" + number;
        String norm = "bn" + number;
        starts.put(conv + ".weight", Start.kaimingNormal(9.0 * SIZE));
        starts.put(norm + ".weight", new Start.Constant(1));
        starts.put(norm + ".bias", new Start.Uniform(0.1));
        starts.put(norm + ".running_mean", new Start.Uniform(0.1));
        starts.put(norm + ".running_var", new Start.Constant(0.5));
        x = b.conv2d(conv, x, b.parameter(conv + ".weight", SIZE, 3, 3, in), null, Conv2d.DEFAULT.pad(1));
        x = b.batchNorm(norm, x, b.parameter(norm + ".weight", SIZE), b.parameter(norm + ".bias", SIZE),
                b.buffer(norm + ".running_mean", SIZE), b.buffer(norm + ".running_var", SIZE), 1e-5, 0.1);
        return b.relu("relu" + number, x);
    }

    // Noise with a tint of the class, weak enough that some are mistaken.
    private static void pictures(Path folder, int count) throws IOException {
        long key = Philox.key(1, folder.getFileName().toString());
        for (int n = 0; n < count; n++) {
            BufferedImage image = new BufferedImage(SIZE, SIZE, BufferedImage.TYPE_INT_RGB);
            for (int at = 0; at < SIZE * SIZE; at++) {
                int rgb = 0;
                for (int c = 0; c < 3; c++) {
                    int level = (int) (200 * Philox.uniform(key, n, 0, 3L * at + c)) + (c == n % CLASSES ? 25 : 0);
                    rgb = rgb << 8 | level;
                }
                image.setRGB(at % SIZE, at / SIZE, rgb);
            }
            Path file = folder.resolve("class" + n % CLASSES).resolve(n + ".png");
            Files.createDirectories(file.getParent());
            ImageIO.write(image, "png", file.toFile());
        }
    }

    /** Fresh parameters, the same every time. */
    Parameters start() {
        return start("full");
    }

    /** Fresh parameters, the same every time, with those that a strategy adds. */
    Parameters start(String strategy) {
        trained = Strategy.parse(strategy).rewrite(network);
        if (parameters != null) {
            parameters.close();
        }
        parameters = device.parameters();
        for (Param p : network.graph().parameters()) {
            Origin origin = network.head().parameters().contains(p.name()) ? Origin.HEAD : Origin.CHECKPOINT;
            parameters.declare(p.name(), p.dims(), p.buffer(), origin);
            parameters.write(p.name(), network.starts().get(p.name()).values(7, p.name(), (int) p.count()));
        }
        Checkpoint.add(trained, 7, parameters);
        return parameters;
    }

    /** Stages of a strategy under these options. */
    List<Stage> stages(String strategy, TrainOptions options) {
        Method method = Strategy.parse(strategy);
        Network rewritten = method.rewrite(network);
        List<Stage> stages = new ArrayList<>();
        for (int s = 0; s < method.stages(rewritten); s++) {
            stages.add(Stage.of(method, s, rewritten, options.norms(), options.rates(),
                    new Stage.Regularisation(options.weightDecay(), options.l2sp()), network.head().parameters()));
        }
        return stages;
    }

    /** The splits, with or without augmentation and validation. */
    TrainData data(String augmentation, boolean validation, TrainOptions options) {
        return TrainData.of(dataset.train(), validation ? dataset.val() : null,
                Pipeline.training(card, Augmentation.parse(augmentation), options.seed()), Pipeline.evaluation(card), 1);
    }

    /** Trains fresh parameters without augmentation, with validation. */
    List<EpochRecord> train(String strategy, TinyOptions options) {
        return train(strategy, options, "none", TrainObserver.SILENT, () -> false);
    }

    /** Trains fresh parameters. */
    List<EpochRecord> train(String strategy, TinyOptions options, String augmentation, TrainObserver observer, BooleanSupplier stop) {
        start(strategy);
        return again(strategy, options, augmentation, observer, stop);
    }

    /** Trains the parameters as they are. */
    List<EpochRecord> again(String strategy, TinyOptions options, String augmentation, TrainObserver observer, BooleanSupplier stop) {
        TrainOptions o = options.build();
        trainer = new Trainer(trained, parameters, Strategy.parse(strategy), stages(strategy, o), data(augmentation, true, o), o, observer, stop);
        return trainer.run();
    }

    /** All parameters and statistics as they are now. */
    Map<String, float[]> values() {
        Map<String, float[]> values = new TreeMap<>();
        trained.graph().parameters().forEach(p -> values.put(p.name(), parameters.read(p.name())));
        return values;
    }

    @Override
    public void close() {
        device.close();
        dataset.close();
    }
}
