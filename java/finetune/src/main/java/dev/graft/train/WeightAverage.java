package dev.graft.train;

import dev.graft.engine.Parameters;
import java.util.List;

/**
 * Puts the moving average of trained weights in their place and back: validation and what is saved have the average, training goes on from
 * the weights themselves.
 */
final class WeightAverage {
    private final Parameters parameters;
    private List<String> names = List.of();
    private Snapshot weights;
    private boolean inPlace;

    WeightAverage(Parameters parameters) {
        this.parameters = parameters;
    }

    /** From here on of these, which a plan that keeps averages trains. The weights are in place. */
    void of(List<String> trained) {
        names = List.copyOf(trained);
        weights = new Snapshot(parameters, names);
    }

    /** Puts the averages in place. */
    void apply() {
        if (!inPlace) {
            if (weights != null) {
                weights.take();
            }
            names.forEach(name -> parameters.write(name, parameters.readAverage(name)));
            inPlace = true;
        }
    }

    /** Puts the weights in place again. */
    void undo() {
        if (inPlace && weights != null) {
            weights.restore();
        }
        inPlace = false;
    }
}
