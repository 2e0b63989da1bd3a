package dev.graft.predict;

import dev.graft.engine.Philox;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.imageio.ImageIO;

/** Pictures of noise, a pure function of their number. */
final class Pictures {
    private Pictures() {
    }

    static List<Path> write(Path folder, int count, int side) throws IOException {
        List<Path> files = new ArrayList<>();
        for (int n = 0; n < count; n++) {
            BufferedImage image = new BufferedImage(side, side, BufferedImage.TYPE_INT_RGB);
            long key = Philox.key(n, "picture");
            for (int at = 0; at < side * side; at++) {
                image.setRGB(at % side, at / side, (int) (Philox.uniform(key, 0, 0, at) * (1 << 24)));
            }
            files.add(folder.resolve("picture" + n + ".png"));
            ImageIO.write(image, "png", files.get(n).toFile());
        }
        return files;
    }
}
