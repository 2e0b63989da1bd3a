package dev.graft.predict;

import dev.graft.data.Limits;
import dev.graft.data.Split;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Prints the bits of a bundle's logits: BUNDLE BATCH PICTURE... Runs in a JVM of its own. */
final class PrintLogits {
    private PrintLogits() {
    }

    public static void main(String[] arguments) {
        List<Path> pictures = Arrays.stream(arguments).skip(2).map(Path::of).toList();
        try (Predictor predictor = Predictor.open(Path.of(arguments[0]), 2, Integer.parseInt(arguments[1]))) {
            lines(predictor.logits(Split.of(pictures, Limits.DEFAULT), 1)).forEach(System.out::println);
        }
    }

    /** One line a picture: the bits of each logit. */
    static List<String> lines(float[][] logits) {
        List<String> lines = new ArrayList<>();
        for (float[] row : logits) {
            StringBuilder line = new StringBuilder();
            for (float value : row) {
                line.append(Integer.toHexString(Float.floatToRawIntBits(value))).append(' ');
            }
            lines.add(line.toString());
        }
        return lines;
    }
}
