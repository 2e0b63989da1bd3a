package dev.graft.data;

import dev.graft.engine.Philox;
import dev.graft.weights.Card;
import dev.graft.weights.ChannelOrder;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/**
 * From a decoded picture to normalised floats as a network expects them: short side resized with antialiasing (as
 * torchvision's {@code Resize(int)} on a Pillow picture), cut to a square, divided by 255, less the mean, over the
 * deviation. {@link #prepare} is the deterministic part, whose result may be kept; {@link #write} is a pure function of its
 * arguments and the seed. Immutable and safe for any number of threads.
 */
public final class Pipeline {
    private static final int SMALL = 32;
    private static final int PADDING = 4;

    private final Card card;
    private final Augmentation augmentation;
    private final long key;
    /** The float of each level, by place in the output pixel; computed as torch does: float division, difference, division. */
    private final float[][] levels = new float[3][256];
    /** Which colour (0 red, 1 green, 2 blue) stands at each place of the output pixel. */
    private final int[] colour;

    private Pipeline(Card card, Augmentation augmentation, long seed) {
        this.card = card;
        this.augmentation = augmentation;
        this.key = Philox.key(seed, "augment");
        float[] mean = card.mean();
        float[] std = card.std();
        this.colour = card.channels() == ChannelOrder.BGR ? new int[] {2, 1, 0} : new int[] {0, 1, 2};
        for (int place = 0; place < 3; place++) {
            int c = colour[place];
            for (int level = 0; level < 256; level++) {
                levels[place][level] = (level / 255f - mean[c]) / std[c];
            }
        }
    }

    /** The pipeline for evaluation and prediction. */
    public static Pipeline evaluation(Card card) {
        return new Pipeline(card, Augmentation.NONE, 0);
    }

    /** The pipeline for training pictures. */
    public static Pipeline training(Card card, Augmentation augmentation, long seed) {
        return new Pipeline(card, augmentation, seed);
    }

    /** The card it follows. */
    public Card card() {
        return card;
    }

    /** What it does at random; {@link Augmentation#NONE} in evaluation. */
    public Augmentation augmentation() {
        return augmentation;
    }

    /** Width and height of what comes out, in pixels. */
    public int size() {
        return card.crop();
    }

    /** Floats of one picture: {@code size * size * 3}. */
    public int floats() {
        return Math.multiplyExact(Math.multiplyExact(card.crop(), card.crop()), 3);
    }

    /** Whether the same picture gives the same floats at every visit. */
    public boolean deterministic() {
        return augmentation.equals(Augmentation.NONE);
    }

    /**
     * The part that is the same at every visit: the centre of the resized picture; for random crops all of it; for random
     * resized crops the picture itself.
     */
    public Picture prepare(Picture picture) {
        if (augmentation.crop() == Augmentation.Crop.RESIZED) {
            return picture;
        }
        int crop = card.crop();
        int width = picture.width();
        int height = picture.height();
        int target = card.resize();
        if (target == 0) {
            target = width == crop && height == crop ? 0 : crop;
        }
        if (target > 0) {
            // as torchvision: the long side is truncated
            int shorter = Math.min(width, height);
            long longer = (long) ((double) target * Math.max(width, height) / shorter);
            if (longer * target > Limits.DEFAULT.pixels() && augmentation.crop() == Augmentation.Crop.RANDOM
                    || longer > Integer.MAX_VALUE / 8) {
                throw new UnreadablePicture(
                        picture.toString(), "is too long and narrow to be resized to a short side of " + target);
            }
            width = picture.width() <= picture.height() ? target : (int) longer;
            height = picture.width() <= picture.height() ? (int) longer : target;
        }
        Box window = augmentation.crop() == Augmentation.Crop.RANDOM
                ? new Box(0, 0, width, height)
                : new Box(centre(width, crop), centre(height, crop), crop, crop);
        boolean whole = width == picture.width() && height == picture.height() && window.equals(Box.whole(picture));
        return whole ? picture
                : Resampling.resize(picture, Box.whole(picture), width, height, window, card.interpolation());
    }

    /** torchvision's {@code CenterCrop}: half-pixel offsets go to the even neighbour, as Python's {@code round}. */
    private static int centre(int length, int crop) {
        return (int) Math.rint((length - crop) / 2.0);
    }

    /**
     * Writes row {@code row} of a batch, NHWC.
     *
     * @param prepared what {@link #prepare} gave
     * @param visit how often the sample was used before: the epoch
     * @param slot at least {@code (row + 1) * floats()} floats; position and limit are not used
     */
    public void write(Picture prepared, long sampleId, int visit, FloatBuffer slot, int row) {
        int crop = card.crop();
        Picture picture = prepared;
        Box box = cut(prepared.width(), prepared.height(), sampleId, visit);
        if (!cutsOnly()) {
            Box part = Augmentation.part(prepared.width(), prepared.height(), key, sampleId, visit);
            picture = Resampling.resize(prepared, part, crop, crop, box, card.interpolation());
        }
        normalise(picture, box, augmentation.flips(key, sampleId, visit), slot, Math.multiplyExact(row, floats()));
    }

    /** Whether {@link #write} does no more than cut, mirror and normalise; a random resized crop does. */
    public boolean cutsOnly() {
        return augmentation.crop() != Augmentation.Crop.RESIZED;
    }

    /**
     * The cut that {@link #write} makes: top, left and, 1 where it is mirrored, for {@code normalize_pictures}.
     *
     * @param width of what {@link #prepare} gave
     * @param to three numbers from {@code at} on
     */
    public void window(int width, int height, long sampleId, int visit, int[] to, int at) {
        Box box = cut(width, height, sampleId, visit);
        to[at] = box.y();
        to[at + 1] = box.x();
        to[at + 2] = augmentation.flips(key, sampleId, visit) ? 1 : 0;
    }

    /** By place in the output pixel: a level times this, plus {@link #offset}, is what {@link #write} gives but for rounding. */
    public float[] scale() {
        float[] scale = new float[3];
        for (int place = 0; place < 3; place++) {
            scale[place] = (float) (1 / (255.0 * card.std()[colour[place]]));
        }
        return scale;
    }

    /** See {@link #scale}. */
    public float[] offset() {
        float[] offset = new float[3];
        for (int place = 0; place < 3; place++) {
            offset[place] = (float) (-(double) card.mean()[colour[place]] / card.std()[colour[place]]);
        }
        return offset;
    }

    /** The bytes of a picture in the order of the output pixel's places. */
    void bytes(Picture picture, ByteBuffer to) {
        byte[] rgb = picture.rgb();
        for (int pixel = 0; pixel < rgb.length; pixel += 3) {
            for (int place = 0; place < 3; place++) {
                to.put(rgb[pixel + colour[place]]);
            }
        }
    }

    private Box cut(int width, int height, long sampleId, int visit) {
        int crop = card.crop();
        if (augmentation.crop() != Augmentation.Crop.RANDOM) {
            return new Box(0, 0, crop, crop);
        }
        int pad = crop <= SMALL ? PADDING : 0;
        Box place = Augmentation.place(width + 2 * pad, height + 2 * pad, crop, key, sampleId, visit);
        return new Box(place.x() - pad, place.y() - pad, crop, crop);
    }

    /** Pixels of {@code box} outside of the picture are black. */
    private void normalise(Picture picture, Box box, boolean flip, FloatBuffer slot, int at) {
        byte[] rgb = picture.rgb();
        float[] line = new float[box.width() * 3];
        for (int y = 0; y < box.height(); y++) {
            int sy = box.y() + y;
            boolean outside = sy < 0 || sy >= picture.height();
            int o = 0;
            for (int x = 0; x < box.width(); x++) {
                int sx = box.x() + (flip ? box.width() - 1 - x : x);
                boolean black = outside || sx < 0 || sx >= picture.width();
                int pixel = black ? 0 : 3 * (sy * picture.width() + sx);
                for (int place = 0; place < 3; place++) {
                    int level = black ? 0 : rgb[pixel + colour[place]] & 0xFF;
                    line[o++] = levels[place][level];
                }
            }
            slot.put(at, line);
            at += line.length;
        }
    }

    @Override
    public String toString() {
        return "Pipeline " + card + ", augmentation " + augmentation;
    }
}
