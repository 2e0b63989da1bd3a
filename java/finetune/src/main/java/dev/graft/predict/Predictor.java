package dev.graft.predict;

import dev.graft.data.Batch;
import dev.graft.data.DecodedCache;
import dev.graft.data.Limits;
import dev.graft.data.Loader;
import dev.graft.data.Pipeline;
import dev.graft.data.Rejected;
import dev.graft.data.Split;
import dev.graft.engine.Device;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Precision;
import dev.graft.model.Checkpoint;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.weights.Bundle;
import dev.graft.weights.BundleDescription;
import dev.graft.weights.Card;
import dev.graft.weights.WeightFile;
import dev.graft.weights.WeightsException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Answers for pictures, from a bundle or from parameters that are in a store. One plan of a fixed batch is compiled when it
 * is made; smaller batches are padded, so a picture's answer does not depend on its neighbours.
 *
 * <p>Safe for any number of threads: each call has memory of its own, and the same pictures get the same bits. Closing it
 * frees what it opened; no call may be running then.
 *
 * <pre>{@code
 * try (Predictor predictor = Predictor.open(Path.of("run"))) {
 *     predictor.predict(List.of(Path.of("ant.jpg")), 1).forEach(p -> System.out.println(p.label() + " " + p.probability()));
 * }
 * }</pre>
 */
public final class Predictor implements AutoCloseable {
    /** Pictures a run of the plan where nothing else is asked for. */
    public static final int BATCH = 32;

    private final Network network;
    private final Card card;
    private final List<String> classes;
    private final int batch;
    private final int threads;
    private final Plan plan;
    private final Sessions sessions;
    private final AutoCloseable owned;

    private Predictor(Network network, Parameters parameters, Card card, List<String> classes, int batch, Precision precision, Device owned) {
        if (classes.size() != network.classes()) {
            throw new IllegalArgumentException(network.name() + " has " + network.classes() + " outputs, but there are " + classes.size()
                    + " class names");
        }
        if (card.crop() != network.imageSize()) {
            throw new IllegalArgumentException(network.name() + " takes pictures of " + network.imageSize() + " pixels a side, the card makes "
                    + card.crop());
        }
        this.network = network;
        this.card = card;
        this.classes = List.copyOf(classes);
        this.batch = batch;
        this.threads = parameters.device().threads();
        this.plan = Plan.compile(network.graph(), parameters, PlanOptions.eval(batch).precision(precision).build());
        this.sessions = new Sessions(plan);
        this.owned = owned == null ? plan : owned;
    }

    /** {@link #open(Path, int, int, Precision)} with the container's threads, batches of {@value #BATCH} and F32. */
    public static Predictor open(Path bundle) {
        return open(bundle, Device.defaultThreads(), BATCH);
    }

    /** {@link #open(Path, int, int, Precision)} in F32. */
    public static Predictor open(Path bundle, int threads, int batch) {
        return open(bundle, threads, batch, Precision.F32);
    }

    /**
     * Opens a bundle on the CPU.
     *
     * @param threads that compute, at least 1
     * @param batch pictures a run of the plan; 1 answers single pictures soonest
     * @throws WeightsException if this is no bundle, or it is damaged
     */
    public static Predictor open(Path bundle, int threads, int batch, Precision precision) {
        Bundle opened = Bundle.read(bundle);
        BundleDescription d = opened.description();
        if (!Models.has(d.model())) {
            throw new WeightsException(bundle + ": holds the model " + d.model() + ", which this build does not have");
        }
        Network network = Models.named(d.model()).network(d.card().crop(), d.classes().size());
        Device device = Device.open("cpu", threads, 1);
        try (WeightFile file = WeightFile.open(opened.weights())) {
            Parameters parameters = device.parameters();
            Checkpoint.load(network, file, List.of(), 0, parameters);
            return new Predictor(network, parameters, d.card(), d.classes(), batch, precision, device);
        } catch (RuntimeException | Error e) {
            device.close();
            throw e;
        }
    }

    /** {@link #of(Network, Parameters, Card, List, int, Precision)} in F32. */
    public static Predictor of(Network network, Parameters parameters, Card card, List<String> classes, int batch) {
        return of(network, parameters, card, classes, batch, Precision.F32);
    }

    /**
     * Over parameters that are in a store, which stays the caller's.
     *
     * @param classes a name for each of the network's outputs
     */
    public static Predictor of(Network network, Parameters parameters, Card card, List<String> classes, int batch, Precision precision) {
        return new Predictor(network, parameters, card, classes, batch, precision, null);
    }

    /** Name of the network. */
    public String model() {
        return network.name();
    }

    /** Class names in the order of the logits. */
    public List<String> classes() {
        return classes;
    }

    /** The preprocessing of its pictures. */
    public Card card() {
        return card;
    }

    /** Pictures a run of the plan. */
    public int batch() {
        return batch;
    }

    /** What makes its pixels of pictures. */
    public Pipeline pipeline() {
        return Pipeline.evaluation(card);
    }

    /** JSON: every step of the plan with its kernel. */
    public String describe() {
        return plan.describe();
    }

    /**
     * Logits [rows][classes], row-major, of the first {@code rows} pictures of a batch.
     *
     * @param pixels [batch][size][size][3] as the {@link #pipeline()} makes them, in a direct buffer from position to limit
     * @param rows 1 to {@link #batch()}; what follows them is padding
     */
    public float[] logits(FloatBuffer pixels, int rows) {
        return sessions.with(session -> {
            session.input(Network.PIXELS).write(pixels);
            session.rows(rows);
            session.forward();
            return Arrays.copyOf(session.read(network.graph().outputs().get(Network.LOGITS).name()), rows * classes.size());
        });
    }

    /** Logits [valid rows][classes], row-major, of a loader's batch, which has {@link #batch()} rows. */
    public float[] logits(Batch pictures) {
        return logits(pictures.pixels(), pictures.validRows());
    }

    /**
     * Logits [pictures][classes] of a split, in its order; the row of a picture that cannot be read is null.
     *
     * @param decoders threads that decode pictures
     */
    public float[][] logits(Split split, int decoders) {
        float[][] rows = new float[split.size()][];
        long[] ids = split.samples().stream().mapToLong(s -> s.id()).toArray();
        try (Loader loader = Loader.sequential(split, pipeline(), batch, decoders, new DecodedCache(0))) {
            loader.begin(0);
            for (Batch pictures = loader.next(); pictures != null; pictures = loader.next()) {
                float[] all = logits(pictures);
                for (int row = 0; row < pictures.validRows(); row++) {
                    int at = Arrays.binarySearch(ids, pictures.sampleIds()[row]);
                    rows[at] = Arrays.copyOfRange(all, row * classes.size(), (row + 1) * classes.size());
                }
            }
        }
        return rows;
    }

    /** Answers for files, in their order, each with the {@code top} likeliest classes; a file that cannot be read says why. */
    public List<Prediction> predict(List<Path> files, int top) {
        if (top < 1) {
            throw new IllegalArgumentException("top is " + top + ", expected at least 1");
        }
        String[] problems = new String[files.size()];
        List<Path> there = new ArrayList<>();
        List<Integer> places = new ArrayList<>();
        for (int i = 0; i < files.size(); i++) {
            problems[i] = unusable(files.get(i));
            if (problems[i] == null) {
                there.add(files.get(i));
                places.add(i);
            }
        }
        float[][] logits = new float[files.size()][];
        if (!there.isEmpty()) {
            answer(Split.of(there, Limits.DEFAULT), places, logits, problems);
        }
        return IntStream.range(0, files.size()).mapToObj(i -> new Prediction(files.get(i),
                logits[i] == null ? List.of() : Softmax.top(logits[i], classes, top), problems[i])).toList();
    }

    private void answer(Split split, List<Integer> places, float[][] logits, String[] problems) {
        try (Loader loader = Loader.sequential(split, pipeline(), batch, Math.min(threads, split.size()), new DecodedCache(0))) {
            loader.begin(0);
            for (Batch pictures = loader.next(); pictures != null; pictures = loader.next()) {
                float[] all = logits(pictures);
                for (int row = 0; row < pictures.validRows(); row++) {
                    logits[places.get((int) pictures.sampleIds()[row])] = Arrays.copyOfRange(all, row * classes.size(), (row + 1) * classes.size());
                }
            }
            for (Rejected lost : loader.unreadable()) {
                for (int i = 0; i < split.size(); i++) {
                    if (split.samples().get(i).path().equals(lost.path())) {
                        problems[places.get(i)] = lost.reason();
                    }
                }
            }
        }
    }

    private static String unusable(Path file) {
        if (!Files.exists(file)) {
            return "no such file";
        }
        return Files.isDirectory(file) ? "a folder, expected a picture" : Files.isReadable(file) ? null : "not permitted to read it";
    }

    /** Closes the plan and, if it opened a bundle, its device. */
    @Override
    public void close() {
        try {
            owned.close();
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }
}
