package dev.graft.data;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * One batch in a slot of its loader. Rows from {@link #validRows} on are padding: zero pixels, label 0, sample id 0. All
 * of it is the loader's: valid until the next call of its {@code next}, {@code begin} or {@code close}, not to be changed.
 */
public final class Batch {
    private final int floats;
    private final FloatBuffer pixels;
    private final int[] labels;
    private final long[] sampleIds;
    private final String[] paths;
    private final boolean[] filled;
    private int validRows;

    Batch(int rows, int floats) {
        long bytes = 4L * rows * floats;
        if (bytes > Integer.MAX_VALUE - 64) {
            throw new IllegalArgumentException("a batch of " + rows + " pictures of " + floats + " floats has " + bytes
                    + " bytes, at most 2 GiB are possible");
        }
        this.floats = floats;
        this.pixels = ByteBuffer.allocateDirect((int) bytes + 64).alignedSlice(64).order(ByteOrder.nativeOrder())
                .asFloatBuffer().slice(0, rows * floats);
        this.labels = new int[rows];
        this.sampleIds = new long[rows];
        this.paths = new String[rows];
        this.filled = new boolean[rows];
    }

    /** {@code rows * size * size * 3} normalised floats, NHWC: direct, native byte order, at an address divisible by 64. */
    public FloatBuffer pixels() {
        return pixels;
    }

    /** Labels by row. */
    public int[] labels() {
        return labels;
    }

    /** Sample ids by row. */
    public long[] sampleIds() {
        return sampleIds;
    }

    /** The file of a row, as its dataset calls it; null in padding. */
    public String path(int row) {
        return paths[row];
    }

    /** Rows that hold pictures; the first ones. */
    public int validRows() {
        return validRows;
    }

    /** Rows with padding. */
    public int rows() {
        return labels.length;
    }

    void clear() {
        Arrays.fill(filled, false);
        validRows = 0;
    }

    void fill(int row, Sample sample) {
        labels[row] = sample.label();
        sampleIds[row] = sample.id();
        paths[row] = sample.path();
        filled[row] = true;
    }

    /** Moves the filled rows together, in their order, and pads the rest. */
    void finish() {
        int to = 0;
        for (int row = 0; row < filled.length; row++) {
            if (filled[row]) {
                if (to < row) {
                    pixels.put(to * floats, pixels, row * floats, floats);
                    labels[to] = labels[row];
                    sampleIds[to] = sampleIds[row];
                    paths[to] = paths[row];
                }
                to++;
            }
        }
        validRows = to;
        if (to < filled.length) {
            Arrays.fill(labels, to, labels.length, 0);
            Arrays.fill(sampleIds, to, sampleIds.length, 0);
            Arrays.fill(paths, to, paths.length, null);
            float[] zeros = new float[floats];
            for (int row = to; row < filled.length; row++) {
                pixels.put(row * floats, zeros);
            }
        }
    }
}
