package dev.graft.train;

import dev.graft.engine.Graph;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.model.Network;
import dev.graft.tune.Method;
import dev.graft.tune.Stage;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.BooleanSupplier;

/**
 * The training loop: for each epoch the method's stage, for each batch one native step, then validation. The parameters in
 * the store hold the result. One thread; whoever needs another loop writes one over {@link Plan}.
 */
public final class Trainer {
    private final Network network;
    private final Parameters parameters;
    private final Method method;
    private final List<Stage> stages;
    private final TrainData data;
    private final TrainOptions options;
    private final TrainObserver observer;
    private final BooleanSupplier stop;
    private final Graph graph;
    private final boolean standardise;
    private final StepWatch watch;
    private final WeightAverage average;
    private final List<EpochRecord> history = new ArrayList<>();
    private int updates;
    private int totalUpdates;
    private boolean interrupted;
    private int bestEpoch;

    /**
     * @param parameters holds every parameter of the network
     * @param stages of the method, all worked out
     * @param stop asked after every step and every batch that runs through the frozen layers before a stage; true ends the run
     * @throws IllegalArgumentException where patience or plateaus are asked for without validation pictures
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
        this.watch = new StepWatch(parameters, observer);
        this.average = new WeightAverage(parameters);
        if (data.val() == null && (options.patience() > 0 || method.plateauPatience() > 0)) {
            throw new IllegalArgumentException((options.patience() > 0 ? "patience is " + options.patience() : "strategy " + method.text())
                    + ", but there are no validation pictures to judge epochs by");
        }
        Graph base = TrainingGraph.of(network.graph(), options.labelSmoothing());
        // Norms that follow their batches change the features: then there is nothing to standardise once.
        standardise = method.headOnly() && this.stages.get(0).tracked().isEmpty();
        if (standardise) {
            List<Long> dims = network.graph().dims(network.graph().outputs().get(Network.FEATURES).name());
            int channels = Math.toIntExact(dims.get(dims.size() - 1));
            Standardisation.declare(parameters, channels);
            base = Standardisation.insert(base, channels);
        }
        this.graph = base;
    }

    /**
     * Trains, once. When it returns or throws {@link Diverged}, the store holds the chosen parameters: the best epoch's with
     * patience, else the last good one's.
     */
    public List<EpochRecord> run() {
        Set<String> changing = new LinkedHashSet<>();
        stages.forEach(s -> changing.addAll(s.live()));
        double bestScore = Double.NEGATIVE_INFINITY;
        int sinceBest = 0;
        int plateaus = 0;
        int sincePlateau = 0;
        StagePlans plans = null;
        // With patience the best epoch so far, else the last one: never two copies.
        Snapshot kept = null;
        try {
            for (int epoch = 0; epoch < options.epochs() && !interrupted; epoch++) {
                int number = method.stageAt(epoch, plateaus, network);
                if (plans == null || number != history.get(epoch - 1).stage()) {
                    try {
                        plans = enter(stages.get(number), plans);
                    } catch (FrozenPrefix.Stopped e) {
                        interrupted = true;
                        break;
                    }
                }
                if (kept == null) {
                    kept = new Snapshot(parameters, changing);
                }
                EpochRecord record;
                try {
                    record = epoch(epoch, stages.get(number), plans);
                } catch (Diverged e) {
                    kept.restore();
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
                if (options.patience() == 0 || improved) {
                    kept.take();
                }
                average.undo();
                if (method.plateauPatience() > 0 && sincePlateau >= method.plateauPatience()) {
                    plateaus++;
                    sincePlateau = 0;
                }
                if (options.patience() > 0 && sinceBest >= options.patience()) {
                    break;
                }
            }
            average.apply();
            if (options.patience() > 0 && bestEpoch > 0) {
                kept.restore();
            }
        } finally {
            if (plans != null) {
                plans.close();
                if (standardise) {
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
        StagePlans plans = new StagePlans(network, graph, stage, parameters, data, options, standardise, observer, stop);
        try {
            if (totalUpdates == 0) {
                totalUpdates = options.epochs() * ((plans.batches() + options.accumulate() - 1) / options.accumulate());
                if (options.warmup() >= totalUpdates) {
                    throw new IllegalArgumentException("warmup is " + options.warmup() + " updates, the run has " + totalUpdates);
                }
            }
            if (options.average() > 0) {
                average.of(stage.trainable());
            }
            observer.stage(stage, plans.train().memory());
        } catch (RuntimeException | Error e) {
            plans.close();
            throw e;
        }
        return plans;
    }

    private EpochRecord epoch(int epoch, Stage stage, StagePlans plans) {
        long start = System.nanoTime();
        double waited = plans.waitedSeconds();
        Plan plan = plans.train();
        double loss = 0;
        double correct = 0;
        int seen = 0;
        double rate = 0;
        int pending = 0;
        int step = 0;
        Batches batches = plans.epoch(epoch);
        int rows = batches.begin(epoch);
        while (rows > 0 && !interrupted) {
            int next = batches.ahead();
            // A mean loss divides by the rows of its update's whole group of batches; all groups but the last are full.
            int divisor = rows;
            rate = options.rate() * options.schedule().factor(Math.min(updates, totalUpdates - 1), totalUpdates, options.warmup());
            setRates(plan, stage, rate);
            if (options.accumulate() == 1) {
                plan.step();
            } else {
                divisor = Math.min(plans.pictures() - (step - pending) * options.batch(), options.accumulate() * options.batch());
                plan.normalizer(divisor);
                plan.gradients();
            }
            step++;
            pending++;
            double sum = plan.loss() * divisor;
            watch.loss(plan, sum, epoch, step);
            loss += sum;
            correct += plan.correct();
            seen += rows;
            batches.advance();
            if (pending == options.accumulate() || next == 0) {
                if (options.accumulate() > 1) {
                    plan.update();
                }
                updates++;
                pending = 0;
                watch.update(plan, stage, updates, epoch, step);
            }
            observer.step(epoch + 1, step, plans.batches(), sum / rows, rate);
            interrupted = stop.getAsBoolean();
            rows = next;
        }
        average.apply();
        double[] val = interrupted ? null : plans.validate(observer);
        return new EpochRecord(epoch + 1, stage.number(), rate, loss / Math.max(1, seen), correct / Math.max(1, seen), val == null ? null : val[0],
                val == null ? null : val[1], (System.nanoTime() - start) / 1e9, plans.waitedSeconds() - waited);
    }

    private void setRates(Plan plan, Stage stage, double rate) {
        for (int g = 0; g < stage.groups().size(); g++) {
            plan.rate(g, rate * stage.groups().get(g).rate());
        }
    }
}
