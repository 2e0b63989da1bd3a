package dev.graft.pairs;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;

/** The batch that every side of a workload trains on, by a formula, so that their losses can be compared. */
public final class Samples {
    private Samples() {}

    /**
     * Pictures (count, side, side, 3), channels innermost: uniform values of mean 0 and variance 1.
     *
     * @return a direct buffer in native byte order, so that the Java heap stays small
     */
    public static FloatBuffer pixels(int count, int side) {
        int values = Math.multiplyExact(count, side * side * 3);
        FloatBuffer pixels = ByteBuffer.allocateDirect(values * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
        for (int i = 0; i < values; i++) {
            pixels.put(i, value(i));
        }
        return pixels;
    }

    /** The mixing function of D. Stafford's variant 13 (SplitMix64), its top 24 bits spread over [-sqrt 3, sqrt 3). */
    private static float value(int i) {
        long z = (i + 1) * 0x9e3779b97f4a7c15L;
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        z ^= z >>> 31;
        return (float) (((z >>> 40) * 0x1p-23 - 1) * Math.sqrt(3));
    }

    /** Label {@code 31 i mod classes} of picture i. */
    public static int label(int i, int classes) {
        return i * 31 % classes;
    }
}
