package dev.graft.weights;

import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

class HalfTest {
    /** The value a binary16 pattern stands for by the definition of the format. */
    private static double f16(int bits) {
        int exponent = bits >> 10 & 31;
        int mantissa = bits & 1023;
        double magnitude = exponent == 0 ? Math.scalb((double) mantissa, -24) : Math.scalb(1024.0 + mantissa, exponent - 25);
        return (bits & 0x8000) == 0 ? magnitude : -magnitude;
    }

    @Test
    void everyF16WidensToTheValueOfItsDefinition() {
        for (int bits = 0; bits < 65536; bits++) {
            float wide = Half.fromF16((short) bits);
            int exponent = bits >> 10 & 31;
            if (exponent < 31) {
                // compared as bits of a double, so that the sign of zero counts
                assertEquals(Double.doubleToRawLongBits(f16(bits)), Double.doubleToRawLongBits(wide), "pattern " + bits);
            } else if ((bits & 1023) == 0) {
                assertEquals((bits & 0x8000) == 0 ? Float.POSITIVE_INFINITY : Float.NEGATIVE_INFINITY, wide);
            } else {
                int expected = (bits & 0x8000) << 16 | 0x7f800000 | (bits & 1023) << 13;
                assertEquals(expected, Float.floatToRawIntBits(wide), "payload of NaN " + bits);
            }
        }
    }

    @Test
    void everyF16ComesBack() {
        for (int bits = 0; bits < 65536; bits++) {
            boolean signalling = (bits >> 10 & 31) == 31 && (bits & 1023) != 0 && (bits & 512) == 0;
            int expected = signalling ? bits | 512 : bits;
            assertEquals(expected, Half.toF16(Half.fromF16((short) bits)) & 0xffff, "pattern " + bits);
        }
    }

    /** Just below, at and just above the middle of every two neighbours. */
    @Test
    void narrowingToF16RoundsToNearestTiesToEven() {
        for (int bits = 0; bits < 0x7c00; bits++) {
            float low = Half.fromF16((short) bits);
            float high = bits == 0x7bff ? 65536f : Half.fromF16((short) (bits + 1));
            float middle = (low + high) / 2;
            int even = (bits & 1) == 0 ? bits : bits + 1;
            assertEquals(bits, Half.toF16(Math.nextDown(middle)), "below the middle above " + bits);
            assertEquals(even, Half.toF16(middle), "the middle above " + bits);
            assertEquals(bits + 1, Half.toF16(Math.nextUp(middle)), "above the middle above " + bits);
            assertEquals(even | 0x8000, Half.toF16(-middle) & 0xffff, "the middle below -" + bits);
        }
        assertEquals(0x7c00, Half.toF16(1e10f));
        assertEquals(0xfc00, Half.toF16(Float.NEGATIVE_INFINITY) & 0xffff);
    }

    @Test
    void everyBf16IsTheUpperHalfAndComesBack() {
        for (int bits = 0; bits < 65536; bits++) {
            float wide = Half.fromBf16((short) bits);
            assertEquals(bits << 16, Float.floatToRawIntBits(wide));
            boolean nan = (bits & 0x7fff) > 0x7f80;
            assertEquals(nan ? bits | 0x40 : bits, Half.toBf16(wide) & 0xffff, "pattern " + bits);
        }
    }

    @Test
    void narrowingToBf16RoundsToNearestTiesToEven() {
        for (int bits = 0; bits < 0x7f80; bits++) {
            int even = (bits & 1) == 0 ? bits : bits + 1;
            assertEquals(bits, Half.toBf16(Float.intBitsToFloat(bits << 16 | 0x7fff)));
            assertEquals(even, Half.toBf16(Float.intBitsToFloat(bits << 16 | 0x8000)));
            assertEquals(bits + 1, Half.toBf16(Float.intBitsToFloat(bits << 16 | 0x8001)));
        }
        assertTrue(Float.isNaN(Half.fromBf16(Half.toBf16(Float.intBitsToFloat(0x7f800001)))), "a NaN of low payload bits");
    }
}
