package dev.graft.golden;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/** The folder of published checkpoints and pictures: {@code GRAFT_DATA}, else {@code ../shared/data} beside the repository. */
public final class DataFolder {
    private DataFolder() {}

    /** A file of the folder; skips the test where it is not there. */
    public static Path file(String path) {
        String set = System.getProperty("GRAFT_DATA", System.getenv("GRAFT_DATA"));
        Path folder = set != null ? Path.of(set) : besideRepository();
        Path file = folder == null ? null : folder.resolve(path);
        Assumptions.assumeTrue(file != null && Files.isRegularFile(file),
                "skipped: no data folder with " + path + " (set GRAFT_DATA)");
        return file;
    }

    /** A published checkpoint; skips the test where it is not there. */
    public static Path weights(String name) {
        return file("weights/" + name);
    }

    private static Path besideRepository() {
        for (Path folder = Path.of("").toAbsolutePath(); folder != null; folder = folder.getParent()) {
            if (Files.isDirectory(folder.resolve("native")) && Files.isRegularFile(folder.resolve("pom.xml"))) {
                return folder.resolveSibling("shared").resolve("data");
            }
        }
        return null;
    }
}
