package dev.graft.report;

import dev.graft.evaluate.ConfusionMatrix;
import java.util.List;

/**
 * How often each true class was taken for which. Above 24 classes the most frequent confusions stand for the matrix.
 *
 * @param title heading
 * @param classes one name per class
 * @param matrix the counts
 */
public record ConfusionTable(String title, List<String> classes, ConfusionMatrix matrix) implements Section {
    /** Keeps an unmodifiable copy and checks that every class has a name. */
    public ConfusionTable {
        classes = List.copyOf(classes);
        if (classes.size() != matrix.classes()) {
            throw new IllegalArgumentException("confusion table '" + title + "' has " + classes.size()
                    + " class names for " + matrix.classes() + " classes");
        }
    }
}
