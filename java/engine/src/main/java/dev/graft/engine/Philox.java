package dev.graft.engine;

import java.nio.charset.StandardCharsets;

/**
 * Philox4x32-10, the counter-based random numbers of Graft (Salmon, Moraes, Dror, Shaw: <i>Parallel random numbers: as
 * easy as 1, 2, 3</i>, SC'11). A number is a pure function of where it is used, so it does not depend on the batch, the
 * order, the thread or the machine.
 *
 * <p>The keying contract, the same in native code:
 * <pre>
 * key64   = splitmix64_finalizer(seed ^ fnv1a64(utf8(operation)))      key = (low 32 bits, high 32 bits)
 * counter = (element &gt;&gt;&gt; 2, visit, low 32 bits of sampleId, high 32 bits of sampleId)
 * lane    = element &amp; 3
 * </pre>
 * {@code sampleId} names the picture or row, {@code visit} counts how often it was used (the epoch or the step), and
 * {@code element} is the position within one use, in [0, 2^34).
 *
 * <p>All functions are pure and safe for any number of threads; but for {@link #key} and {@link #permutation} none of
 * them allocates.
 */
public final class Philox {
    private static final long MULTIPLIER_0 = 0xD2511F53L;
    private static final long MULTIPLIER_1 = 0xCD9E8D57L;
    private static final int WEYL_0 = 0x9E3779B9;
    private static final int WEYL_1 = 0xBB67AE85;
    private static final int ROUNDS = 10;
    private static final long LOW = 0xFFFFFFFFL;

    private Philox() {}

    /** The key of one operation under one seed. Different names give unrelated streams. */
    public static long key(long seed, String operation) {
        long z = seed ^ fnv1a(operation.getBytes(StandardCharsets.UTF_8));
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }

    /** Four uniform 32-bit numbers: elements {@code 4 * block} to {@code 4 * block + 3}, written to {@code out4[0..3]}. */
    public static void block(long key, long sampleId, int visit, int block, int[] out4) {
        int c0 = block;
        int c1 = visit;
        int c2 = (int) sampleId;
        int c3 = (int) (sampleId >>> 32);
        int k0 = (int) key;
        int k1 = (int) (key >>> 32);
        for (int round = 0; round < ROUNDS; round++) {
            long p0 = MULTIPLIER_0 * (c0 & LOW);
            long p1 = MULTIPLIER_1 * (c2 & LOW);
            c0 = (int) (p1 >>> 32) ^ c1 ^ k0;
            c2 = (int) (p0 >>> 32) ^ c3 ^ k1;
            c1 = (int) p1;
            c3 = (int) p0;
            k0 += WEYL_0;
            k1 += WEYL_1;
        }
        out4[0] = c0;
        out4[1] = c1;
        out4[2] = c2;
        out4[3] = c3;
    }

    /** One uniform 32-bit number. */
    public static int bits(long key, long sampleId, int visit, long element) {
        int c0 = (int) (element >>> 2);
        int c1 = visit;
        int c2 = (int) sampleId;
        int c3 = (int) (sampleId >>> 32);
        int k0 = (int) key;
        int k1 = (int) (key >>> 32);
        for (int round = 0; round < ROUNDS; round++) {
            long p0 = MULTIPLIER_0 * (c0 & LOW);
            long p1 = MULTIPLIER_1 * (c2 & LOW);
            c0 = (int) (p1 >>> 32) ^ c1 ^ k0;
            c2 = (int) (p0 >>> 32) ^ c3 ^ k1;
            c1 = (int) p1;
            c3 = (int) p0;
            k0 += WEYL_0;
            k1 += WEYL_1;
        }
        return switch ((int) element & 3) {
            case 0 -> c0;
            case 1 -> c1;
            case 2 -> c2;
            default -> c3;
        };
    }

    /** A uniform number in [0, 1): the upper 24 bits of {@link #bits} times 2^-24. */
    public static float uniform(long key, long sampleId, int visit, long element) {
        return (bits(key, sampleId, visit, element) >>> 8) * 0x1p-24f;
    }

    /**
     * A uniform integer in [0, bound), without bias (Lemire: <i>Fast random integer generation in an interval</i>, 2019).
     * A rejected draw, of probability below bound / 2^32, moves on to the next element.
     */
    public static int below(int bound, long key, long sampleId, int visit, long element) {
        if (bound <= 0) {
            throw new IllegalArgumentException("bound must be positive, got " + bound);
        }
        int threshold = Integer.remainderUnsigned(-bound, bound);
        for (long at = element; ; at++) {
            long product = (bits(key, sampleId, visit, at) & LOW) * bound;
            if ((product & LOW) >= threshold) {
                return (int) (product >>> 32);
            }
        }
    }

    /**
     * A standard normal number (Box-Muller): elements 2i and 2i + 1 share the uniform numbers u of these two elements and
     * are sqrt(-2 ln(1 - u[2i])) times cos and sin of 2 pi u[2i + 1]. Computed in double and rounded to float.
     */
    public static float normal(long key, long sampleId, int visit, long element) {
        double u = 1.0 - uniform(key, sampleId, visit, element & ~1L);
        double angle = 2.0 * StrictMath.PI * uniform(key, sampleId, visit, element | 1L);
        double radius = StrictMath.sqrt(-2.0 * StrictMath.log(u));
        return (float) (radius * ((element & 1) == 0 ? StrictMath.cos(angle) : StrictMath.sin(angle)));
    }

    /** A uniform permutation of 0 .. n-1 (Fisher-Yates, from the end; draws take elements 0, 1, ... of sample 0). */
    public static int[] permutation(long key, int visit, int n) {
        int[] order = new int[n];
        for (int i = 0; i < n; i++) {
            order[i] = i;
        }
        long element = 0;
        for (int i = n - 1; i > 0; i--) {
            int bound = i + 1;
            int threshold = Integer.remainderUnsigned(-bound, bound);
            long product;
            do {
                product = (bits(key, 0, visit, element++) & LOW) * bound;
            } while ((product & LOW) < threshold);
            int j = (int) (product >>> 32);
            int swap = order[i];
            order[i] = order[j];
            order[j] = swap;
        }
        return order;
    }

    private static long fnv1a(byte[] bytes) {
        long hash = 0xCBF29CE484222325L;
        for (byte b : bytes) {
            hash = (hash ^ (b & 0xFF)) * 0x100000001B3L;
        }
        return hash;
    }
}
