package dev.graft.cli;

import dev.graft.engine.Philox;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.imageio.ImageIO;

/**
 * Draws the demonstration's pictures: one figure of any place, size, angle and colour on a background. Every pixel is a pure
 * function of (seed, task, figure, number of the picture), in {@link StrictMath} the same everywhere. The source task has smooth backgrounds; the target task has
 * striped ones, less contrast and more noise.
 */
final class ShapePictures {
    static final int SIDE = 32;

    /** Points a pixel and axis that decide how much of it the figure covers. */
    private static final int SAMPLES = 3;
    // elements of the counter
    private static final int LEFT = 0;
    private static final int TOP = 1;
    private static final int SIZE = 2;
    private static final int TURN = 3;
    private static final int FIGURE = 4;
    private static final int GROUND = 7;
    private static final int SLOPE = 10;
    private static final int STRIPES = 13;
    private static final int NOISE = 32;

    private final String task;
    private final boolean striped;
    private final double contrast;
    private final double noise;

    private ShapePictures(String task, boolean striped, double contrast, double noise) {
        this.task = task;
        this.striped = striped;
        this.contrast = contrast;
        this.noise = noise;
    }

    /** Pictures as the backbone was trained on. */
    static ShapePictures source() {
        return new ShapePictures("demo source", false, 70, 10);
    }

    /** Pictures that it is fine-tuned on. */
    static ShapePictures target() {
        return new ShapePictures("demo target", true, 50, 22);
    }

    /** Writes {@code count} pictures a figure as {@code folder/LABEL/NUMBER.png}. */
    void write(Path folder, List<Shape> figures, int count, long seed) {
        try {
            for (Shape figure : figures) {
                Path of = Files.createDirectories(folder.resolve(figure.label()));
                for (int number = 0; number < count; number++) {
                    Path file = of.resolve(String.format("%04d.png", number));
                    if (!ImageIO.write(draw(figure, number, seed), "png", file.toFile())) {
                        throw new IOException("this Java runtime has no PNG writer");
                    }
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot draw pictures into " + folder + ": " + e.getMessage(), e);
        }
    }

    /** One picture of {@value #SIDE} pixels a side. */
    BufferedImage draw(Shape figure, int number, long seed) {
        long key = Philox.key(seed, task + " " + figure.label());
        double size = between(9, 14, key, number, SIZE);
        double left = SIDE / 2.0 + between(-3, 3, key, number, LEFT);
        double top = SIDE / 2.0 + between(-3, 3, key, number, TOP);
        double angle = between(0, 2 * Math.PI, key, number, TURN);
        double[] ground = new double[3];
        double[] paint = new double[3];
        colours(key, number, ground, paint);
        BufferedImage picture = new BufferedImage(SIDE, SIDE, BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++) {
                double cover = cover(figure, (x - left) / size, (y - top) / size, angle, 1 / size);
                double shade = shade(key, number, x, y);
                int rgb = 0;
                for (int c = 0; c < 3; c++) {
                    double grain = noise * between(-1, 1, key, number, NOISE + 3 * (SIDE * y + x) + c);
                    double level = cover * paint[c] + (1 - cover) * (ground[c] + shade) + grain;
                    rgb = rgb << 8 | (int) Math.max(0, Math.min(255, Math.rint(level)));
                }
                picture.setRGB(x, y, rgb);
            }
        }
        return picture;
    }

    /** Two colours whose brightness differs by the contrast at least. */
    private void colours(long key, int number, double[] ground, double[] paint) {
        double difference = 0;
        for (int c = 0; c < 3; c++) {
            ground[c] = between(30, 225, key, number, GROUND + c);
            paint[c] = between(0, 255, key, number, FIGURE + c);
            difference += (paint[c] - ground[c]) / 3;
        }
        double lacking = Math.max(0, contrast - Math.abs(difference));
        boolean lighter = ground[0] + ground[1] + ground[2] < 3 * 127.5;
        for (int c = 0; c < 3; c++) {
            paint[c] += (lighter ? 1 : -1) * (difference > 0 == lighter ? lacking : contrast + Math.abs(difference));
        }
    }

    /** What the background adds: a slope, or stripes. */
    private double shade(long key, int number, int x, int y) {
        double slope = between(-1.2, 1.2, key, number, SLOPE) * (x - SIDE / 2.0) + between(-1.2, 1.2, key, number, SLOPE + 1) * (y - SIDE / 2.0);
        if (!striped) {
            return slope;
        }
        double direction = between(0, Math.PI, key, number, STRIPES);
        double length = between(3, 8, key, number, STRIPES + 1);
        double along = x * StrictMath.cos(direction) + y * StrictMath.sin(direction);
        return slope / 2 + 22 * StrictMath.sin(2 * Math.PI * along / length);
    }

    private static double cover(Shape figure, double x, double y, double angle, double pixel) {
        int inside = 0;
        double cos = StrictMath.cos(angle);
        double sin = StrictMath.sin(angle);
        for (int i = 0; i < SAMPLES * SAMPLES; i++) {
            double u = x + pixel * (i % SAMPLES + 0.5) / SAMPLES;
            double v = y + pixel * (i / SAMPLES + 0.5) / SAMPLES;
            inside += figure.holds(cos * u + sin * v, cos * v - sin * u) ? 1 : 0;
        }
        return inside / (double) (SAMPLES * SAMPLES);
    }

    private static double between(double low, double high, long key, int number, int element) {
        return low + (high - low) * Philox.uniform(key, number, 0, element);
    }
}
