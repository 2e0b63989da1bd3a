package dev.graft.data;

import dev.graft.engine.Philox;

/**
 * What is done at random to training pictures. Every draw is a pure function of (seed, sample id, visit).
 *
 * @param crop which part of the picture is taken
 * @param flip whether every second picture, by chance, is mirrored left to right
 */
public record Augmentation(Crop crop, boolean flip) {
    /** How the part of the picture is chosen. */
    public enum Crop {
        /** The centre of the resized picture. */
        CENTER,
        /** Any place of the resized picture; one of at most 32x32 is padded by 4 black pixels on each side before. */
        RANDOM,
        /** torchvision's RandomResizedCrop: 8 to 100 % of the area, sides 3:4 to 4:3, resized to the network's size. */
        RESIZED
    }

    /** No augmentation: the pipeline is deterministic. */
    public static final Augmentation NONE = new Augmentation(Crop.CENTER, false);

    private static final double LEAST_AREA = 0.08;
    private static final double WIDEST = 4.0 / 3.0;
    private static final int ATTEMPTS = 10;

    // elements of the counter; gaps leave room for rejected draws
    private static final long FLIP = 0;
    private static final long TOP = 16;
    private static final long LEFT = 32;
    private static final long SHAPES = 64;

    /** Reads {@code none | flip | crop | resized-crop}, the crops also with {@code +flip}. */
    public static Augmentation parse(String text) {
        return switch (text) {
            case "none" -> NONE;
            case "flip" -> new Augmentation(Crop.CENTER, true);
            case "crop" -> new Augmentation(Crop.RANDOM, false);
            case "crop+flip" -> new Augmentation(Crop.RANDOM, true);
            case "resized-crop" -> new Augmentation(Crop.RESIZED, false);
            case "resized-crop+flip" -> new Augmentation(Crop.RESIZED, true);
            default -> throw new IllegalArgumentException("unknown augmentation '" + text
                    + "', expected none, flip, crop, crop+flip, resized-crop or resized-crop+flip");
        };
    }

    boolean flips(long key, long sampleId, int visit) {
        return flip && Philox.uniform(key, sampleId, visit, FLIP) < 0.5f;
    }

    /** A uniform place of a {@code size x size} square within {@code width x height}, all at least {@code size}. */
    static Box place(int width, int height, int size, long key, long sampleId, int visit) {
        int y = Philox.below(height - size + 1, key, sampleId, visit, TOP);
        int x = Philox.below(width - size + 1, key, sampleId, visit, LEFT);
        return new Box(x, y, size, size);
    }

    /** torchvision's {@code RandomResizedCrop.get_params}. */
    static Box part(int width, int height, long key, long sampleId, int visit) {
        double area = (double) width * height;
        double logWidest = StrictMath.log(WIDEST);
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            long at = SHAPES + 2L * attempt;
            double share = LEAST_AREA + (1 - LEAST_AREA) * Philox.uniform(key, sampleId, visit, at);
            double ratio = StrictMath.exp(logWidest * (2.0 * Philox.uniform(key, sampleId, visit, at + 1) - 1));
            int w = (int) Math.rint(Math.sqrt(area * share * ratio));
            int h = (int) Math.rint(Math.sqrt(area * share / ratio));
            if (w > 0 && w <= width && h > 0 && h <= height) {
                int y = Philox.below(height - h + 1, key, sampleId, visit, TOP);
                int x = Philox.below(width - w + 1, key, sampleId, visit, LEFT);
                return new Box(x, y, w, h);
            }
        }
        double ratio = (double) width / height;
        int w = ratio > WIDEST ? (int) Math.rint(height * WIDEST) : width;
        int h = ratio < 1 / WIDEST ? (int) Math.rint(width * WIDEST) : height;
        return new Box((width - w) / 2, (height - h) / 2, w, h);
    }

    /** The text {@link #parse} reads. */
    @Override
    public String toString() {
        String name = switch (crop) {
            case CENTER -> flip ? "" : "none";
            case RANDOM -> "crop";
            case RESIZED -> "resized-crop";
        };
        return name + (flip ? (name.isEmpty() ? "flip" : "+flip") : "");
    }
}
