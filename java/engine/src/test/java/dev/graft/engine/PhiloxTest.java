package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class PhiloxTest {
    /** Random123's {@code kat_vectors}, lines "philox4x32 10": counter, key, output. */
    @Test
    void blockGivesTheKnownAnswers() {
        int[] out = new int[4];
        Philox.block(0, 0, 0, 0, out);
        assertArrayEquals(new int[] {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}, out);
        Philox.block(-1, -1, -1, -1, out);
        assertArrayEquals(new int[] {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}, out);
        Philox.block(0x299f31d0a4093822L, 0x0370734413198a2eL, 0x85a308d3, 0x243f6a88, out);
        assertArrayEquals(new int[] {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}, out);
    }

    /** Rows written by {@code src/test/fixtures/make_philox_fixture.py}. */
    @Test
    void keyingContractHolds() throws IOException {
        List<String> rows;
        try (var in = PhiloxTest.class.getResourceAsStream("/philox.csv")) {
            rows = new String(in.readAllBytes(), StandardCharsets.UTF_8).lines().skip(1).toList();
        }
        assertFalse(rows.isEmpty());
        for (String row : rows) {
            String[] field = row.split(",", -1);
            long key = Philox.key(Long.parseLong(field[0]), field[1]);
            long sampleId = Long.parseLong(field[3]);
            int visit = Integer.parseInt(field[4]);
            long element = Long.parseLong(field[5]);
            assertEquals(Long.parseUnsignedLong(field[2], 16), key, row);
            assertEquals(Integer.parseUnsignedInt(field[6], 16), Philox.bits(key, sampleId, visit, element), row);
            assertEquals(Float.parseFloat(field[7]), Philox.uniform(key, sampleId, visit, element), row);
        }
    }

    @Test
    void bitsAreTheLanesOfBlocks() {
        long key = Philox.key(3, "lanes");
        int[] out = new int[4];
        for (int element = 0; element < 64; element++) {
            Philox.block(key, 5, 2, element / 4, out);
            assertEquals(out[element % 4], Philox.bits(key, 5, 2, element), "element " + element);
        }
    }

    /** Mean within 5 standard errors of 1/2 and every one of 16 bins within 5 deviations of its share. */
    @Test
    void uniformIsUniform() {
        long key = Philox.key(0, "uniform");
        int n = 1 << 16;
        int[] bins = new int[16];
        double sum = 0;
        for (int i = 0; i < n; i++) {
            float u = Philox.uniform(key, 0, 0, i);
            assertTrue(u >= 0 && u < 1, "element " + i + ": " + u);
            bins[(int) (u * 16)]++;
            sum += u;
        }
        assertEquals(0.5, sum / n, 5 * Math.sqrt(1.0 / 12 / n));
        for (int count : bins) {
            assertEquals(n / 16.0, count, 5 * Math.sqrt(n / 16.0), Arrays.toString(bins));
        }
    }

    /** Mean, variance and fourth moment within 5 standard errors (deviations 1, sqrt 2, sqrt 96 over sqrt n). */
    @Test
    void normalIsNormal() {
        long key = Philox.key(0, "normal");
        int n = 1 << 16;
        double mean = 0;
        double variance = 0;
        double fourth = 0;
        for (int i = 0; i < n; i++) {
            double x = Philox.normal(key, 0, 0, i);
            mean += x / n;
            variance += x * x / n;
            fourth += x * x * x * x / n;
        }
        assertEquals(0, mean, 5 / Math.sqrt(n));
        assertEquals(1, variance, 5 * Math.sqrt(2.0 / n));
        assertEquals(3, fourth, 5 * Math.sqrt(96.0 / n));
    }

    /** The bound 3 * 2^29 rejects every fourth draw; all thirds of the range stay equally likely. */
    @Test
    void belowIsUnbiasedForLargeBounds() {
        long key = Philox.key(0, "below");
        int bound = 3 << 29;
        int n = 1 << 14;
        int[] thirds = new int[3];
        for (int i = 0; i < n; i++) {
            int x = Philox.below(bound, key, i, 0, 0);
            assertTrue(x >= 0 && x < bound, "draw " + i + ": " + x);
            thirds[x >>> 29]++;
        }
        for (int count : thirds) {
            assertEquals(n / 3.0, count, 5 * Math.sqrt(n * 2 / 9.0), Arrays.toString(thirds));
        }
        assertEquals(0, Philox.below(1, key, 0, 0, 0));
        assertThrows(IllegalArgumentException.class, () -> Philox.below(0, key, 0, 0, 0));
    }

    @Test
    void permutationHoldsEveryIndexOnceAndChangesWithTheVisit() {
        long key = Philox.key(0, "shuffle");
        int[] first = Philox.permutation(key, 0, 1000);
        int[] second = Philox.permutation(key, 1, 1000);
        int[] sorted = first.clone();
        Arrays.sort(sorted);
        for (int i = 0; i < sorted.length; i++) {
            assertEquals(i, sorted[i]);
        }
        assertArrayEquals(first, Philox.permutation(key, 0, 1000));
        assertFalse(Arrays.equals(first, second));
        assertEquals(0, Philox.permutation(key, 0, 0).length);
    }

    /** All 24 orders of 4 things within 5 deviations of equal shares. */
    @Test
    void permutationsAreEquallyLikely() {
        long key = Philox.key(0, "orders");
        int n = 24_000;
        int[] counts = new int[256];
        for (int visit = 0; visit < n; visit++) {
            int[] p = Philox.permutation(key, visit, 4);
            counts[p[0] * 64 + p[1] * 16 + p[2] * 4 + p[3]]++;
        }
        int seen = 0;
        for (int count : counts) {
            if (count > 0) {
                seen++;
                assertEquals(n / 24.0, count, 5 * Math.sqrt(n / 24.0));
            }
        }
        assertEquals(24, seen);
    }

    @Test
    void namesAndSeedsGiveDifferentKeys() {
        assertNotEquals(Philox.key(0, "a"), Philox.key(0, "b"));
        assertNotEquals(Philox.key(0, "a"), Philox.key(1, "a"));
    }
}
