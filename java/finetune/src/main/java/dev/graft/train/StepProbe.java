package dev.graft.train;

import dev.graft.engine.Graph;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Split;
import dev.graft.engine.Workspace;
import dev.graft.model.Network;
import dev.graft.tune.Stage;

/**
 * Memory and time of a stage's step, measured on pictures of zeros without changing any parameter.
 *
 * @param memory bytes by group, as JSON
 * @param stepSeconds of a training step; of the suffix alone where the prefix is cached
 * @param prefixSeconds of a batch through the frozen prefix where it is cached, else 0
 */
public record StepProbe(String memory, double stepSeconds, double prefixSeconds) {
    /** Compiles the stage, runs forward and backward twice and times the second. */
    public static StepProbe of(Network network, Stage stage, Parameters parameters, TrainOptions options, boolean deterministic) {
        Graph graph = TrainingGraph.of(network.graph(), options.labelSmoothing());
        Split split = graph.split(stage.live());
        boolean cached = options.cache() && deterministic && FeatureCache.suffices(split);
        Snapshot statistics = new Snapshot(parameters, stage.tracked());
        try (Workspace workspace = parameters.device().workspace()) {
            PlanOptions.Builder b = PlanOptions.train(options.batch(), options.optimizer()).precision(options.precision()).groups(1);
            stage.trainable().forEach(name -> b.train(name, 0));
            stage.tracked().forEach(b::track);
            double prefixSeconds = 0;
            if (cached) {
                PlanOptions evaluation = PlanOptions.eval(options.batch()).precision(options.precision()).build();
                try (Plan prefix = Plan.compile(split.prefix(), parameters, evaluation, workspace)) {
                    prefix.forward();
                    prefixSeconds = seconds(prefix::forward);
                }
            }
            try (Plan plan = Plan.compile(cached ? split.suffix() : graph, parameters, b.build(), workspace)) {
                plan.gradients();
                return new StepProbe(plan.memory(), seconds(plan::gradients), prefixSeconds);
            }
        } finally {
            statistics.restore();
        }
    }

    private static double seconds(Runnable run) {
        long start = System.nanoTime();
        run.run();
        return (System.nanoTime() - start) / 1e9;
    }
}
