package dev.graft.weights;

/**
 * Conversions between F32 and the two 16 bit types. Widening is exact (subnormals, infinities and the payload of a NaN
 * included); narrowing rounds to nearest, ties to even, and keeps a NaN a NaN.
 */
public final class Half {
    private Half() {
    }

    /** IEEE 754 binary16 to F32. */
    public static float fromF16(short bits) {
        int sign = (bits & 0x8000) << 16;
        int exponent = bits >> 10 & 0x1f;
        int mantissa = bits & 0x3ff;
        if (exponent == 0) {
            float magnitude = mantissa * 0x1p-24f;
            return sign == 0 ? magnitude : -magnitude;
        }
        int wide = exponent == 31 ? 255 : exponent + 112;
        return Float.intBitsToFloat(sign | wide << 23 | mantissa << 13);
    }

    /** F32 to IEEE 754 binary16. */
    public static short toF16(float value) {
        int bits = Float.floatToRawIntBits(value);
        int sign = bits >>> 16 & 0x8000;
        int magnitude = bits & 0x7fffffff;
        if (magnitude > 0x7f800000) {
            return (short) (sign | 0x7e00 | magnitude >> 13 & 0x3ff);
        }
        if (magnitude >= 0x47800000) {                     // 2^16 and above, infinity
            return (short) (sign | 0x7c00);
        }
        if (magnitude < 0x38800000) {                      // below 2^-14: subnormal, a multiple of 2^-24
            // rint of an exact product rounds once, ties to even; 1024 is the smallest normal number
            return (short) (sign | (int) Math.rint(Float.intBitsToFloat(magnitude) * 0x1p24));
        }
        int rebiased = magnitude - (112 << 23);
        int rounded = rebiased + 0xfff + (rebiased >> 13 & 1) >> 13;   // a carry runs into the exponent, up to infinity
        return (short) (sign | rounded);
    }

    /** bfloat16 (the upper half of an F32) to F32. */
    public static float fromBf16(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    /** F32 to bfloat16. */
    public static short toBf16(float value) {
        int bits = Float.floatToRawIntBits(value);
        if ((bits & 0x7fffffff) > 0x7f800000) {
            return (short) (bits >>> 16 | 0x40);           // quiet, so that dropped payload bits cannot make it infinite
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }
}
