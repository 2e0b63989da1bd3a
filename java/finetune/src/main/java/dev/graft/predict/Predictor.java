package dev.graft.predict;

import dev.graft.data.Batch;
import dev.graft.data.DecodedCache;
import dev.graft.data.Loader;
import dev.graft.data.Pipeline;
import dev.graft.data.Split;
import dev.graft.engine.Device;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Precision;
import dev.graft.model.Checkpoint;
import dev.graft.model.LowRankAdapter;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.weights.Bundle;
import dev.graft.weights.BundleDescription;
import dev.graft.weights.Card;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.WeightFile;
import dev.graft.weights.WeightsException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;

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
    private final Parameters parameters;
    private final Card card;
    private final List<String> classes;
    private final int batch;
    private final Precision precision;
    private final Workspaces workspaces;
    private final Plan plan;
    private final Runnable release;
    private final Map<String, Predictor> adapters = new LinkedHashMap<>();
    private final AtomicBoolean closed = new AtomicBoolean();

    /** Without workspaces it makes its own. {@code release} frees what was made for it beside its plan. */
    private Predictor(Network network, Parameters parameters, Card card, List<String> classes, int batch, Precision precision,
                      Workspaces shared, Runnable release) {
        if (classes.size() != network.classes()) {
            throw new IllegalArgumentException(network.name() + " has " + network.classes() + " outputs, but there are " + classes.size()
                    + " class names");
        }
        if (card.crop() != network.imageSize()) {
            throw new IllegalArgumentException(network.name() + " takes pictures of " + network.imageSize() + " pixels a side, the card makes "
                    + card.crop());
        }
        this.network = network;
        this.parameters = parameters;
        this.card = card;
        this.classes = List.copyOf(classes);
        this.batch = batch;
        this.precision = precision;
        this.workspaces = shared == null ? new Workspaces(parameters.device()) : shared;
        this.release = shared == null ? () -> {
            workspaces.close();
            release.run();
        } : release;
        PlanOptions options = PlanOptions.eval(batch).precision(precision).build();
        try {
            this.plan = workspaces.plan(workspace -> Plan.compile(network.graph(), parameters, options, workspace));
        } catch (RuntimeException | Error e) {
            if (shared == null) {
                workspaces.close();
            }
            throw e;
        }
    }

    /** {@link #open(Path, String, int, int, Precision)} on the CPU with the container's threads, batches of {@value #BATCH} and F32. */
    public static Predictor open(Path bundle) {
        return open(bundle, Device.defaultThreads(), BATCH);
    }

    /** {@link #open(Path, String, int, int, Precision)} on the CPU in F32. */
    public static Predictor open(Path bundle, int threads, int batch) {
        return open(bundle, "cpu", threads, batch, Precision.F32);
    }

    /**
     * Opens a bundle.
     *
     * @param device as {@link Device#open(String, int, int)} takes it
     * @param threads that compute, at least 1
     * @param batch pictures a run of the plan; 1 answers single pictures soonest
     * @throws WeightsException if this is no bundle, or it is damaged
     */
    public static Predictor open(Path bundle, String device, int threads, int batch, Precision precision) {
        Bundle opened = Bundle.read(bundle);
        BundleDescription d = opened.description();
        if (!Models.has(d.model())) {
            throw new WeightsException(bundle + ": holds the model " + d.model() + ", which this build does not have");
        }
        Network network = Models.named(d.model()).network(d.card().crop(), d.classes().size());
        try (WeightFile file = WeightFile.open(opened.weights())) {
            return open(network, file, d.card(), d.classes(), device, threads, batch, precision);
        }
    }

    /**
     * Opens a checkpoint: the base of {@linkplain #withAdapter adapters}. The file must stay as it is, open or closed,
     * until the predictor is closed.
     *
     * @param classes a name for each of the network's outputs
     * @param device as {@link Device#open(String, int, int)} takes it
     * @throws WeightsException if the weights do not fit the network
     */
    public static Predictor open(Network network, WeightFile weights, Card card, List<String> classes, String device, int threads, int batch,
                                 Precision precision) {
        Device opened = Device.open(device, threads, 1);
        try {
            Parameters parameters = opened.parameters();
            Checkpoint.load(network, weights, List.of(), 0, parameters);
            return new Predictor(network, parameters, card, classes, batch, precision, null, opened::close);
        } catch (RuntimeException | Error e) {
            opened.close();
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
        return new Predictor(network, parameters, card, classes, batch, precision, null, () -> {});
    }

    /** {@link #withAdapter(String, Path, List)} with the class names that the folder carries, else the base's. */
    public Predictor withAdapter(String name, Path folder) {
        return withAdapter(name, folder, null);
    }

    /**
     * A predictor with an adapter on top of this one's network, beside it: a request chooses by the predictor it asks. The frozen
     * weights are held once for all of them, and so is the memory that plans run in; each adapter costs the bytes of its own tensors
     * and a plan. Its folder must stay as it is until the predictor is closed, which frees them; closing this one closes it too.
     *
     * @param name    of the adapter among those that are open: letters, digits, _ and -
     * @param folder  as Python's PEFT or Graft saved it
     * @param classes class names in the order of the logits; their number may differ from the base's where the adapter has a head of
     *                its own; null for those that the folder carries, else the base's
     * @throws WeightsException         if the folder is damaged, cannot be computed, or is of another base
     * @throws IllegalArgumentException if an adapter of this name is open
     */
    public Predictor withAdapter(String name, Path folder, List<String> classes) {
        if (name == null) {
            throw new IllegalArgumentException("an adapter needs a name");
        }
        synchronized (adapters) {
            try (PeftFolder peft = PeftFolder.open(folder)) {
                List<String> names = classes == null ? Adapters.classes(peft, this.classes) : classes;
                LowRankAdapter adapter = Adapters.load(network, peft, name, names.size(), parameters);
                try {
                    Predictor made = new Predictor(adapter.network(), parameters, card, names, batch, precision, workspaces, () -> {
                        Adapters.remove(adapter, parameters);
                        synchronized (adapters) {
                            adapters.remove(name);
                        }
                    });
                    adapters.put(name, made);
                    return made;
                } catch (RuntimeException | Error e) {
                    Adapters.remove(adapter, parameters);
                    throw e;
                }
            }
        }
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
        return workspaces.with(plan, session -> {
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
        return Answers.of(this, files, top, parameters.device().threads());
    }

    /** Closes its adapters, its plan and, if it opened a bundle, its device. Closing twice is allowed. */
    @Override
    public void close() {
        List<Predictor> open;
        synchronized (adapters) {
            open = List.copyOf(adapters.values());
        }
        open.forEach(Predictor::close);
        if (closed.compareAndSet(false, true)) {
            workspaces.close(plan);
            release.run();
        }
    }
}
