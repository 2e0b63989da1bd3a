package dev.graft.train;

import dev.graft.engine.Origin;
import dev.graft.engine.Parameters;
import dev.graft.engine.Plan;
import dev.graft.tune.Stage;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Looks at what each step came to: ends a run whose numbers are no longer finite, warns of large updates. */
final class StepWatch {
    /** Updates above this share of their weight's norm are warned of. */
    private static final double LARGE_UPDATE = 0.1;

    private final Parameters parameters;
    private final TrainObserver observer;
    private final Set<String> warned = new HashSet<>();

    StepWatch(Parameters parameters, TrainObserver observer) {
        this.parameters = parameters;
        this.observer = observer;
    }

    /** Ends the run where a step's loss is not finite. The plan has then left its update out, so the origin is still there to be named. */
    void loss(Plan plan, double loss, int epoch, int step) {
        if (!Double.isFinite(loss)) {
            String where = plan.findNonFinite();
            throw new Diverged("the loss became " + loss + " in epoch " + (epoch + 1) + ", step " + step
                    + "; the first value that is not finite is " + (where.isEmpty() ? "the loss itself" : where)
                    + ". A lower rate or clipping may help");
        }
    }

    /**
     * Ends the run where an update left a tensor without a finite value, before it becomes the last good epoch. Warns once of each
     * pretrained matrix or filter that one update moves by more than a tenth of its norm.
     */
    void update(Plan plan, Stage stage, int number, int epoch, int step) {
        double[] norms = plan.updateNorms();
        List<String> names = stage.trainable();
        for (int i = 0; i < names.size(); i++) {
            String name = names.get(i);
            if (!Double.isFinite(norms[2 * i])) {
                throw new Diverged("the update of epoch " + (epoch + 1) + ", step " + step + " moved " + name
                        + " by what is not finite. A lower rate or clipping may help");
            }
            double share = norms[2 * i] / norms[2 * i + 1];
            if (share > LARGE_UPDATE && pretrainedMatrix(parameters.declaration(name)) && warned.add(name)) {
                observer.warning(String.format("update %d moved %s by %.0f %% of its norm: the rate may be too high for pretrained weights",
                        number, name, 100 * share));
            }
        }
    }

    private static boolean pretrainedMatrix(Parameters.Declared tensor) {
        return tensor.origin() == Origin.CHECKPOINT && tensor.dims().size() > 1;
    }
}
