package dev.graft.finetune;

import dev.graft.data.DataException;
import dev.graft.data.Dataset;
import dev.graft.data.Limits;
import dev.graft.data.Pipeline;
import dev.graft.engine.Device;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.model.Architecture;
import dev.graft.model.Checkpoint;
import dev.graft.model.LowRankAdapter;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.model.NetworkOptions;
import dev.graft.train.TrainData;
import dev.graft.tune.LowRankAdaptation;
import dev.graft.tune.Method;
import dev.graft.tune.Stage;
import dev.graft.weights.Bundle;
import dev.graft.weights.Card;
import dev.graft.weights.CardChoice;
import dev.graft.weights.CardKeys;
import dev.graft.weights.LoadReport;
import dev.graft.weights.StoredTensor;
import dev.graft.weights.WeightFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Everything a run works on, opened and checked against each other before the first step. Closes what it opened. */
final class Preparation implements AutoCloseable {
    final Settings settings;
    final Dataset dataset;
    final Card card;
    /** As it is saved. */
    final Network published;
    /** As it is trained: what the method makes of the published one. */
    final Network network;
    /** What the method adds, as it is saved; null for methods that add nothing. */
    final LowRankAdapter adapter;
    final boolean freshHead;
    final Device device;
    final Parameters parameters;
    final LoadReport report;
    final List<Stage> stages;
    final TrainData data;

    private Preparation(Settings settings, Dataset dataset, WeightFile file, CardKeys keys, Path preprocess) {
        this.settings = settings;
        this.dataset = dataset;
        Architecture architecture = Models.named(settings.model());
        this.card = CardChoice.of(keys, preprocess, file, architecture.card());
        int classes = dataset.classes().size();
        this.freshHead = file == null || !keepsHead(settings, architecture, file, dataset);
        this.published = architecture.network(new NetworkOptions(card.crop(), classes, settings.train().dropout(),
                settings.train().dropPath()));
        this.network = settings.method().rewrite(published);
        // What no checkpoint gives: without a file everything.
        List<String> all = published.graph().parameters().stream().map(Param::name).toList();
        List<String> fresh = file == null ? all : freshHead ? published.head().parameters() : List.of();
        this.stages = stages(settings, network, unpublished(network, all, fresh));
        this.adapter = settings.method() instanceof LowRankAdaptation method ? adapter(method, published, stages) : null;
        this.data = TrainData.of(dataset.train(), dataset.val(), Pipeline.training(card, settings.augmentation(), settings.train().seed()),
                Pipeline.evaluation(card), settings.threads());
        this.device = Device.open(settings.device(), settings.threads(), 1);
        try {
            this.parameters = device.parameters();
            this.report = Checkpoint.load(published, file, fresh, settings.train().seed(), parameters);
            Checkpoint.add(network, settings.train().seed(), parameters);
        } catch (RuntimeException | Error e) {
            device.close();
            throw e;
        }
    }

    private static List<String> unpublished(Network network, List<String> published, List<String> fresh) {
        return network.graph().parameters().stream().map(Param::name).filter(p -> fresh.contains(p) || !published.contains(p)).toList();
    }

    // Its head and what else trains is saved whole, by modules: PEFT knows nothing smaller.
    private static LowRankAdapter adapter(LowRankAdaptation method, Network published, List<Stage> stages) {
        Set<String> live = new HashSet<>();
        stages.forEach(s -> live.addAll(s.live()));
        List<String> whole = published.graph().parameters().stream().map(Param::name).filter(live::contains).toList();
        for (String name : whole) {
            if (name.indexOf('.') < 0) {
                throw new IllegalArgumentException("strategy " + method.text() + ": " + name
                        + " is a parameter of no module, and an adapter is saved by modules: leave it out");
            }
        }
        return new LowRankAdapter(published, null, method.layers(published), whole, method.rankStabilised());
    }

    private static List<Stage> stages(Settings settings, Network network, List<String> fresh) {
        Stage.Regularisation regularisation = new Stage.Regularisation(settings.train().weightDecay(), settings.train().l2sp());
        List<Stage> stages = new ArrayList<>();
        for (int s = 0; s < settings.method().stages(network); s++) {
            stages.add(Stage.of(settings.method(), s, network, settings.train().norms(), settings.train().rates(), regularisation, fresh));
        }
        return stages;
    }

    static Preparation of(Settings settings, CardKeys keys, Path preprocess) {
        Models.named(settings.model());
        if (settings.out() != null) {
            Bundle.requireWritable(settings.out(), settings.overwrite());
        }
        Dataset dataset = null;
        try (WeightFile file = settings.weights() == null ? null : Bundle.openWeights(settings.weights())) {
            dataset = Dataset.open(settings.data(), settings.train().seed(), settings.valFraction(), Limits.DEFAULT);
            if (dataset.train() == null) {
                throw new DataException(settings.data() + ": there are no pictures to train on");
            }
            return new Preparation(settings, dataset, file, keys, preprocess);
        } catch (RuntimeException | Error e) {
            if (dataset != null) {
                dataset.close();
            }
            throw e;
        }
    }

    private static boolean keepsHead(Settings settings, Architecture architecture, WeightFile file, Dataset dataset) {
        if (settings.head() == HeadChoice.NEW || settings.method() instanceof Method.Head && settings.head() == HeadChoice.AUTO) {
            return false;
        }
        List<String> named = Bundle.classNames(file);
        int classes = headClasses(architecture, file);
        boolean agrees = named.isEmpty() ? classes == dataset.classes().size() : named.equals(dataset.classes());
        if (settings.head() == HeadChoice.KEEP && !agrees) {
            throw new DataException(settings.data() + " has " + dataset.classes().size() + " classes, the head of " + file.path()
                    + (named.isEmpty() ? " has " + classes : " has the classes " + named) + ": it cannot be kept");
        }
        return agrees;
    }

    /** Classes of the head in a file: rows of the head's first tensor. */
    static int headClasses(Architecture architecture, WeightFile file) {
        for (String name : architecture.network(architecture.imageSize(), architecture.classes()).head().parameters()) {
            if (file.contains(name)) {
                StoredTensor tensor = file.tensor(name);
                return tensor.dims().length == 0 ? 0 : Math.toIntExact(tensor.dims()[0]);
            }
        }
        return 0;
    }

    @Override
    public void close() {
        device.close();
        dataset.close();
    }
}
