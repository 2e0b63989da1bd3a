package dev.graft.train;

import dev.graft.engine.Graph;
import dev.graft.engine.Origin;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.model.Network;
import dev.graft.tune.Method;
import dev.graft.tune.Stage;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.BooleanSupplier;

/**
 * The training loop: for each epoch the method's stage, for each batch one native step, then validation. The parameters in
 * the store hold the result. One thread; whoever needs another loop writes one over {@link Plan}.
 */
public final class Trainer {
    /** Updates above this share of their weight's norm are warned of. */
    private static final double LARGE_UPDATE = 0.1;

    private final Network network;
    private final Parameters parameters;
    private final Method method;
    private final List<Stage> stages;
    private final TrainData data;
    private final TrainOptions options;
    private final TrainObserver observer;
    private final BooleanSupplier stop;
    private final Graph graph;
    private final Set<String> warned = new HashSet<>();
    private final List<EpochRecord> history = new ArrayList<>();
    private int updates;
    private int totalUpdates;
    private boolean interrupted;
    private int bestEpoch;

    /**
     * @param parameters holds every parameter of the network
     * @param stages of the method, all worked out
     * @param stop asked after every step; true ends the run
     */
    public Trainer(Network network, Parameters parameters, Method method, List<Stage> stages, TrainData data, TrainOptions options,
                   TrainObserver observer, BooleanSupplier stop) {
        this.network = network;
        this.parameters = parameters;
        this.method = method;
        this.stages = List.copyOf(stages);
        this.data = data;
        this.options = options;
        this.observer = observer;
        this.stop = stop;
        Graph base = TrainingGraph.of(network.graph(), options.labelSmoothing());
        if (method.headOnly()) {
            List<Long> dims = network.graph().dims(network.graph().outputs().get(Network.FEATURES).name());
            int channels = Math.toIntExact(dims.get(dims.size() - 1));
            Standardisation.declare(parameters, channels);
            base = Standardisation.insert(base, channels);
        }
        this.graph = base;
    }

    /**
     * Trains. When it returns or throws {@link Diverged}, the store holds the chosen parameters: the best epoch's with
     * patience, else the last good one's.
     */
    public List<EpochRecord> run() {
        Set<String> changing = new LinkedHashSet<>();
        stages.forEach(s -> changing.addAll(s.live()));
        Snapshot good = Snapshot.of(parameters, changing);
        Snapshot best = null;
        double bestScore = Double.NEGATIVE_INFINITY;
        int sinceBest = 0;
        int plateaus = 0;
        int sincePlateau = 0;
        StagePlans plans = null;
        try {
            for (int epoch = 0; epoch < options.epochs() && !interrupted; epoch++) {
                int number = method.stageAt(epoch, plateaus, network);
                if (plans == null || number != history.get(epoch - 1).stage()) {
                    plans = enter(stages.get(number), plans);
                }
                EpochRecord record;
                try {
                    record = epoch(epoch, stages.get(number), plans);
                } catch (Diverged e) {
                    (best == null ? good : best).restore(parameters);
                    throw e;
                }
                history.add(record);
                observer.epoch(record);
                boolean improved = record.valAccuracy() != null && record.valAccuracy() > bestScore;
                if (improved) {
                    bestScore = record.valAccuracy();
                    bestEpoch = epoch + 1;
                }
                sinceBest = improved ? 0 : sinceBest + 1;
                sincePlateau = improved ? 0 : sincePlateau + 1;
                if (options.patience() > 0 && improved) {
                    best = Snapshot.of(parameters, changing);
                }
                good = Snapshot.of(parameters, changing);
                if (method.plateauPatience() > 0 && sincePlateau >= method.plateauPatience()) {
                    plateaus++;
                    sincePlateau = 0;
                }
                if (options.patience() > 0 && sinceBest >= options.patience()) {
                    break;
                }
            }
            if (best != null) {
                best.restore(parameters);
            }
        } finally {
            if (plans != null) {
                plans.close();
                if (method.headOnly()) {
                    Standardisation.fold(network, parameters);
                }
            }
        }
        return List.copyOf(history);
    }

    /** Whether the run was ended from outside. */
    public boolean interrupted() {
        return interrupted;
    }

    /** Epoch (from 1) with the best validation accuracy; 0 without validation. */
    public int bestEpoch() {
        return bestEpoch;
    }

    /** What the epochs that are done came to. */
    public List<EpochRecord> history() {
        return List.copyOf(history);
    }

    private StagePlans enter(Stage stage, StagePlans before) {
        if (before != null) {
            before.close();
        }
        StagePlans plans = new StagePlans(network, graph, stage, parameters, data, options, method.headOnly(), observer);
        if (totalUpdates == 0) {
            totalUpdates = options.epochs() * ((plans.batches() + options.accumulate() - 1) / options.accumulate());
            if (options.warmup() >= totalUpdates) {
                throw new IllegalArgumentException("warmup is " + options.warmup() + " updates, the run has " + totalUpdates);
            }
        }
        observer.stage(stage, plans.train().memory());
        return plans;
    }

    private EpochRecord epoch(int epoch, Stage stage, StagePlans plans) {
        long start = System.nanoTime();
        double waited = plans.waitedSeconds();
        Plan plan = plans.train();
        int steps = plans.batches();
        double loss = 0;
        double correct = 0;
        int seen = 0;
        double rate = 0;
        int pending = 0;
        plans.begin(epoch);
        int step = 0;
        for (int n = plans.next(); n > 0 && !interrupted; n = plans.next()) {
            step++;
            rate = options.rate() * options.schedule().factor(Math.min(updates, totalUpdates - 1), totalUpdates, options.warmup());
            if (options.accumulate() == 1) {
                setRates(plan, stage, rate);
                plan.step();
                updates++;
            } else {
                // All but the last group are full: the mean is over the rows of the whole group.
                int rest = data.train().size() - (step - 1 - pending) * options.batch();
                plan.normalizer(Math.min(rest, options.accumulate() * options.batch()));
                plan.gradients();
                pending++;
                if (pending == options.accumulate() || step == steps) {
                    setRates(plan, stage, rate);
                    plan.update();
                    updates++;
                    pending = 0;
                }
            }
            double batchLoss = plan.loss();
            if (!Double.isFinite(batchLoss)) {
                throw diverged(plan, epoch, step, batchLoss);
            }
            // With accumulation the loss of a batch is its share of the group's mean.
            loss += options.accumulate() == 1 ? batchLoss * n : batchLoss * Math.min(data.train().size(), options.accumulate() * options.batch());
            correct += plan.correct();
            seen += n;
            if (pending == 0) {
                watchUpdates(plan, stage);
            }
            observer.step(epoch + 1, step, steps, batchLoss, rate);
            interrupted = stop.getAsBoolean();
        }
        double[] val = interrupted ? null : plans.validate(observer);
        return new EpochRecord(epoch + 1, stage.number(), rate, loss / Math.max(1, seen), correct / Math.max(1, seen), val == null ? null : val[0],
                val == null ? null : val[1], (System.nanoTime() - start) / 1e9, plans.waitedSeconds() - waited);
    }

    private void setRates(Plan plan, Stage stage, double rate) {
        for (int g = 0; g < stage.groups().size(); g++) {
            plan.rate(g, rate * stage.groups().get(g).rate());
        }
    }

    private Diverged diverged(Plan plan, int epoch, int step, double loss) {
        String where = plan.findNonFinite();
        return new Diverged("the loss became " + loss + " in epoch " + (epoch + 1) + ", step " + step + "; the first value that is not finite is "
                + (where.isEmpty() ? "the loss itself" : where) + ". A lower rate or clipping may help");
    }

    // Pretrained matrices and filters that one update moves by more than a tenth of their norm.
    private void watchUpdates(Plan plan, Stage stage) {
        double[] norms = plan.updateNorms();
        List<String> names = stage.trainable();
        for (int i = 0; i < names.size(); i++) {
            String name = names.get(i);
            double share = norms[2 * i] / norms[2 * i + 1];
            if (share > LARGE_UPDATE && parameters.declaration(name).origin() == Origin.CHECKPOINT
                    && parameters.declaration(name).dims().size() > 1 && warned.add(name)) {
                observer.warning(String.format("update %d moved %s by %.0f %% of its norm: the rate may be too high for pretrained weights",
                        updates, name, 100 * share));
            }
        }
    }
}
