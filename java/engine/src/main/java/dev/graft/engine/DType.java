package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;

/** Element types, of inputs and of tensors in files. Parameters are always F32. */
public enum DType {
    F32(Graft.GRAFT_F32, 4),
    BF16(Graft.GRAFT_BF16, 2),
    F64(Graft.GRAFT_F64, 8),
    I32(Graft.GRAFT_I32, 4),
    U8(Graft.GRAFT_U8, 1),
    I64(Graft.GRAFT_I64, 8),
    F16(Graft.GRAFT_F16, 2);

    final int code;
    private final int bytes;

    DType(int code, int bytes) {
        this.code = code;
        this.bytes = bytes;
    }

    /** Bytes of one element. */
    public int bytes() {
        return bytes;
    }
}
