package dev.graft.cli;

import java.nio.file.Path;
import java.util.List;

/** Folders of drawn pictures for tests. */
final class Folders {
    private Folders() {
    }

    /** {@code train} and {@code val} folders of two classes, enough to learn a little from. */
    static Path twoClasses(Path folder, int training, int validation) {
        List<Shape> figures = List.of(Shape.DISC, Shape.CROSS);
        ShapePictures.source().write(folder.resolve("train"), figures, training, 1);
        ShapePictures.source().write(folder.resolve("val"), figures, validation, 2);
        return folder;
    }

    /** A flat folder of one class. */
    static Path oneClass(Path folder) {
        ShapePictures.source().write(folder, List.of(Shape.DISC), 4, 1);
        return folder;
    }
}
