package dev.graft.predict;

import java.nio.file.Path;
import java.util.List;

/**
 * The answer for one picture.
 *
 * @param file the picture
 * @param top the likeliest classes, the likeliest first; empty if the picture cannot be read
 * @param problem why the picture cannot be read; null if it can
 */
public record Prediction(Path file, List<ClassProbability> top, String problem) {
    /** Copies the list. */
    public Prediction {
        top = List.copyOf(top);
    }

    /** The likeliest class; null if the picture cannot be read. */
    public String label() {
        return problem == null ? top.get(0).name() : null;
    }

    /** Its probability; NaN if the picture cannot be read. */
    public double probability() {
        return problem == null ? top.get(0).probability() : Double.NaN;
    }
}
