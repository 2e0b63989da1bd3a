import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import javax.imageio.ImageIO;

/**
 * Draws the small data set of the examples: {@code java docs/examples/Pictures.java FOLDER} writes 32x32 pictures of rings,
 * stripes and checks into {@code FOLDER/train/CLASS} (24 a class) and {@code FOLDER/val/CLASS} (8 a class). A picture is a
 * function of its number alone.
 */
public final class Pictures {
    private static final int SIZE = 32;
    private static final int TRAIN = 24;
    private static final int VAL = 8;
    /** The golden section: its multiples, modulo 1, are spread evenly. */
    private static final double SPREAD = 0.618033988749895;

    private Pictures() {}

    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 1) {
            throw new IllegalArgumentException("expected one argument: the folder to write to");
        }
        for (String label : new String[] {"checks", "rings", "stripes"}) {
            for (int i = 0; i < TRAIN + VAL; i++) {
                Path folder = Files.createDirectories(Path.of(arguments[0], i < TRAIN ? "train" : "val", label));
                ImageIO.write(draw(label, i), "png", folder.resolve(String.format("%03d.png", i)).toFile());
            }
        }
    }

    /** Two colours in a pattern whose place, width and angle follow from the number. */
    private static BufferedImage draw(String label, int number) {
        double a = (number + 1) * SPREAD % 1;
        double b = (number + 1) * SPREAD * SPREAD % 1;
        double period = 6 + 5 * b;
        double angle = Math.PI * a;
        int dark = colour(a, 0.3);
        int light = colour(b, 0.9);
        BufferedImage picture = new BufferedImage(SIZE, SIZE, BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < SIZE; y++) {
            for (int x = 0; x < SIZE; x++) {
                double u = x * Math.cos(angle) + y * Math.sin(angle);
                double v = y * Math.cos(angle) - x * Math.sin(angle);
                double wave = switch (label) {
                    case "rings" -> wave(Math.hypot(x - SIZE * a, y - SIZE * b), period);
                    case "stripes" -> wave(u, period);
                    default -> wave(u, period) * wave(v, period);
                };
                picture.setRGB(x, y, wave > 0 ? light : dark);
            }
        }
        return picture;
    }

    private static double wave(double place, double period) {
        return Math.sin(2 * Math.PI * place / period);
    }

    private static int colour(double hue, double brightness) {
        return java.awt.Color.HSBtoRGB((float) hue, 0.5f, (float) brightness);
    }
}
