package dev.graft.report;

import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;

/**
 * Pictures with what they are and what they were taken for.
 *
 * @param title heading
 * @param images in the order to be shown
 */
public record SampleImages(String title, List<Image> images) implements Section {
    /** Keeps an unmodifiable copy. */
    public SampleImages {
        images = List.copyOf(images);
    }

    /**
     * One picture.
     *
     * @param png the bytes of a PNG file, not copied: the caller must not change them
     * @param truth true class
     * @param predicted predicted class
     * @param probability of the predicted class, 0 to 1
     */
    public record Image(byte[] png, String truth, String predicted, double probability) {
        private static final byte[] SIGNATURE = HexFormat.of().parseHex("89504e470d0a1a0a");

        /** Checks the signature of PNG (ISO/IEC 15948, 5.2) and the range of the probability. */
        public Image {
            if (png.length < SIGNATURE.length || !Arrays.equals(png, 0, SIGNATURE.length, SIGNATURE, 0, SIGNATURE.length)) {
                throw new IllegalArgumentException("sample of class '" + truth + "' is not a PNG file: it lacks the signature");
            }
            if (!(probability >= 0 && probability <= 1)) {
                throw new IllegalArgumentException(
                        "sample of class '" + truth + "': probability " + probability + " is not between 0 and 1");
            }
        }
    }
}
