package dev.graft.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.finetune.FineTuningResult;
import dev.graft.model.Checkpoint;
import dev.graft.model.Models;
import dev.graft.weights.Bundle;
import dev.graft.weights.LoadReport;
import dev.graft.weights.WeightFile;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The demonstration's backbone fits its network, its pictures are always the same, and what it knew helps. */
class DemoTest {
    @TempDir
    Path folder;

    @Test
    void backboneFitsItsNetwork() {
        Path file = folder.resolve("backbone.safetensors");
        DemoRuns.unpackBackbone(file);
        try (WeightFile weights = WeightFile.open(file)) {
            var network = Models.named(DemoRuns.MODEL).network(ShapePictures.SIDE, Shape.SOURCE.size());
            assertTrue(LoadReport.compare(weights, Checkpoint.expected(network)).exact());
            assertEquals(Shape.SOURCE.stream().map(Shape::label).sorted().toList(), Bundle.classNames(weights));
        }
    }

    @Test
    void picturesAreAlwaysTheSame() {
        CRC32 sum = new CRC32();
        for (int number = 0; number < 3; number++) {
            for (Shape figure : Shape.SOURCE) {
                add(sum, ShapePictures.source().draw(figure, number, 0));
            }
            for (Shape figure : Shape.TARGET) {
                add(sum, ShapePictures.target().draw(figure, number, 7));
            }
        }
        // written down from the pictures that the committed backbone was trained on
        assertEquals(2_974_777_647L, sum.getValue());
    }

    private static void add(CRC32 sum, BufferedImage picture) {
        for (int at = 0; at < ShapePictures.SIDE * ShapePictures.SIDE; at++) {
            int rgb = picture.getRGB(at % ShapePictures.SIDE, at / ShapePictures.SIDE);
            sum.update(rgb >> 16 & 0xFF);
            sum.update(rgb >> 8 & 0xFF);
            sum.update(rgb & 0xFF);
        }
    }

    @Test
    void knownFeaturesHelpAndThePageTellsSo() {
        Path backbone = folder.resolve("backbone.safetensors");
        DemoRuns.unpackBackbone(backbone);
        DemoRuns runs = new DemoRuns(folder, backbone, List.of("head"), 0, 1);
        assertTrue(runs.run(new DemoRuns.Listener() {
            @Override
            public void epoch() {
            }

            @Override
            public void run(String strategy, long seed, FineTuningResult result) {
                // six classes: chance is 0.167
                assertTrue(result.test().accuracy() > 0.3, strategy + ", seed " + seed + ": " + result.test().accuracy());
            }
        }, () -> false));
        assertEquals(DemoRuns.SEEDS, runs.results().get("head").size());
        String page = DemoReport.of(runs, 0).html();
        for (Shape figure : Shape.TARGET) {
            assertTrue(page.contains(figure.label()), figure.label());
        }
    }

    @Test
    void folderWithOtherFilesIsRefused() throws IOException {
        Files.writeString(folder.resolve("mine.txt"), "x");
        Invocation.of("demo", "--out", folder).failed(2, "is not empty");
        Invocation.of("demo", "--out", folder.resolve("mine.txt")).failed(2, "is a file");
    }
}
