package dev.graft.cli;

import dev.graft.weights.CardKeys;
import dev.graft.weights.ChannelOrder;
import dev.graft.weights.Interpolation;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Options of the preprocessing card. */
final class Preprocessing {
    @Option(names = "--resize", paramLabel = "N", description = "short side in pixels after resizing; 0: leave the size as it is")
    Integer resize;

    @Option(names = "--crop", paramLabel = "N", description = "side of the network's input in pixels")
    Integer crop;

    @Option(names = "--mean", paramLabel = "R,G,B", description = "in the /255 convention")
    String mean;

    @Option(names = "--std", paramLabel = "R,G,B", description = "in the /255 convention")
    String std;

    @Option(names = "--interpolation", paramLabel = "I", description = "bilinear or bicubic")
    String interpolation;

    @Option(names = "--channels", paramLabel = "C", description = "rgb or bgr")
    String channels;

    @Option(names = "--preprocess", paramLabel = "FILE", description = "a JSON file with the same keys")
    Path file;

    /** The keys that were given as options. */
    CardKeys keys() {
        return new CardKeys(resize, crop, numbers("--mean", mean), numbers("--std", std),
                interpolation == null ? null : Choice.of("--interpolation", interpolation, Interpolation.values()),
                channels == null ? null : Choice.of("--channels", channels, ChannelOrder.values()));
    }

    /** Whether anything was given. */
    boolean given() {
        return file != null || !keys().isEmpty();
    }

    private static float[] numbers(String option, String text) {
        if (text == null) {
            return null;
        }
        String[] parts = text.split(",", -1);
        float[] numbers = new float[3];
        try {
            for (int i = 0; i < 3; i++) {
                numbers[i] = Float.parseFloat(parts[i].strip());
            }
        } catch (NumberFormatException | ArrayIndexOutOfBoundsException e) {
            throw new IllegalArgumentException(option + " is " + text + ", expected three numbers as .5,.5,.5", e);
        }
        if (parts.length != 3) {
            throw new IllegalArgumentException(option + " is " + text + ", expected three numbers as .5,.5,.5");
        }
        return numbers;
    }
}
