package dev.graft.weights;

/** Element types that weight files store; the constant's name is the type's name in safetensors. */
public enum Dtype {
    F64(8), F32(4), F16(2), BF16(2), I64(8), I32(4), I16(2), I8(1), U8(1), BOOL(1);

    private final int bytes;

    Dtype(int bytes) {
        this.bytes = bytes;
    }

    /** Bytes of one element. */
    public int bytes() {
        return bytes;
    }

    /** Whether this is a floating point type: parameters are, counters and masks are not. */
    public boolean floating() {
        return this == F64 || this == F32 || this == F16 || this == BF16;
    }

    /** The type of that name, or null if there is none here. */
    static Dtype named(String name) {
        for (Dtype dtype : values()) {
            if (dtype.name().equals(name)) {
                return dtype;
            }
        }
        return null;
    }
}
