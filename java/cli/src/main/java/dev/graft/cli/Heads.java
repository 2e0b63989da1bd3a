package dev.graft.cli;

import dev.graft.model.Architecture;
import dev.graft.weights.WeightFile;

/** What the head of a checkpoint says. */
final class Heads {
    private Heads() {
    }

    /** Outputs of the head in a file: rows of the first of the head's tensors that is there; 0 if none is. */
    static int outputs(Architecture architecture, WeightFile file) {
        for (String name : architecture.network(architecture.imageSize(), architecture.classes()).head().parameters()) {
            if (file.contains(name) && file.tensor(name).dims().length > 0) {
                return Math.toIntExact(file.tensor(name).dims()[0]);
            }
        }
        return 0;
    }
}
