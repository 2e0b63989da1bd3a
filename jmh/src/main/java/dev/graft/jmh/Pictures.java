package dev.graft.jmh;

import dev.graft.engine.Philox;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import javax.imageio.ImageIO;

/**
 * A folder of JPEGs of 500 x 375, ImageNet's usual size, in two classes: waves with grain, about as many bytes as a
 * photograph of that size. All of it trains: there is no validation split. Deleted when closed.
 */
final class Pictures implements AutoCloseable {
    private static final int WIDTH = 500;
    private static final int HEIGHT = 375;
    private static final int GRAIN = 24;

    private final Path folder;

    Pictures(int count) {
        try {
            folder = Files.createTempDirectory("graft-pictures");
            for (String label : List.of("a", "b")) {
                Files.createDirectories(folder.resolve("train").resolve(label));
            }
            for (int i = 0; i < count; i++) {
                Path file = folder.resolve("train").resolve(i % 2 == 0 ? "a" : "b").resolve(i + ".jpg");
                ImageIO.write(picture(i), "jpg", file.toFile());
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot write pictures", e);
        }
    }

    Path folder() {
        return folder;
    }

    private static BufferedImage picture(int number) {
        BufferedImage image = new BufferedImage(WIDTH, HEIGHT, BufferedImage.TYPE_INT_RGB);
        long key = Philox.key(0, "picture");
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++) {
                int grain = Philox.below(GRAIN, key, number, 0, (long) y * WIDTH + x);
                int rgb = 0;
                for (int channel = 0; channel < 3; channel++) {
                    double wave = Math.sin((x + 3 * number) / (20.0 + channel)) * Math.cos((y + number) / (30.0 - channel));
                    rgb = rgb << 8 | (int) (115 + 100 * wave) + grain;
                }
                image.setRGB(x, y, rgb);
            }
        }
        return image;
    }

    @Override
    public void close() {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot delete " + folder, e);
        }
    }
}
