package dev.graft.data;

/**
 * How large a picture may be before it is refused; both are checked before anything of that size is allocated.
 *
 * @param pixels width times height; Pillow refuses from twice 89 478 485 pixels on, which is the default here
 * @param bytes size of the (unpacked) file
 */
public record Limits(long pixels, long bytes) {
    /** 178 956 970 pixels, 512 MiB. */
    public static final Limits DEFAULT = new Limits(2L * 89_478_485, 512L << 20);

    /** Checks that both are positive. */
    public Limits {
        if (pixels <= 0 || bytes <= 0) {
            throw new IllegalArgumentException("limits must be positive, got " + pixels + " pixels, " + bytes + " bytes");
        }
    }
}
