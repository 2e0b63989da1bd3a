package dev.graft.golden;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;

/** The folder of published checkpoints: property or variable {@code GRAFT_DATA}, else {@code ../shared/data} beside the repository. */
public final class DataFolder {
    private DataFolder() {}

    /** A published checkpoint; the test is skipped where it is not there. */
    public static Path weights(String file) {
        String set = System.getProperty("GRAFT_DATA", System.getenv("GRAFT_DATA"));
        Path data = set != null ? Path.of(set) : Path.of("..", "..", "..", "shared", "data");
        Path path = data.resolve("weights").resolve(file);
        assumeTrue(Files.isReadable(path), "no checkpoint at " + path + " (set GRAFT_DATA)");
        return path;
    }
}
