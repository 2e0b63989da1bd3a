package dev.graft.finetune;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.imageio.ImageIO;

/** The lossless CIFAR-10 pictures: two sheets, a row of 1024 pixels a picture, and a text with its label a line. */
final class CifarSheets {
    private static final List<String> CLASSES = List.of("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck");
    private static final int SIDE = 32;

    private CifarSheets() {
    }

    /** Writes the pictures as PNG under {@code train/CLASS} of a new temporary folder. */
    static Path unpack(Path images) throws IOException {
        Path folder = Files.createTempDirectory("graft-sheets");
        int number = 0;
        for (int sheet = 0; sheet < 2; sheet++) {
            BufferedImage rows = ImageIO.read(images.resolve("cifar10_sheet_" + sheet + ".png").toFile());
            List<String> labels = Files.readAllLines(images.resolve("cifar10_sheet_" + sheet + ".labels.txt"));
            for (int row = 0; row < rows.getHeight(); row++) {
                BufferedImage picture = new BufferedImage(SIDE, SIDE, BufferedImage.TYPE_INT_RGB);
                for (int i = 0; i < SIDE * SIDE; i++) {
                    picture.setRGB(i % SIDE, i / SIDE, rows.getRGB(i, row));
                }
                Path to = folder.resolve("train").resolve(CLASSES.get(Integer.parseInt(labels.get(row).strip())));
                Files.createDirectories(to);
                ImageIO.write(picture, "png", to.resolve(String.format("%04d.png", number++)).toFile());
            }
        }
        return folder;
    }
}
