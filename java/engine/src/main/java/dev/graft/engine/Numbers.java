package dev.graft.engine;

/** Numbers in the text that goes to native code: the same in every locale. */
final class Numbers {
    private static final double EXACT = 0x1p53;

    private Numbers() {}

    /** Whole numbers without a point, others as {@link Double#toString} writes them. */
    static String text(double x) {
        return x == Math.rint(x) && Math.abs(x) < EXACT ? Long.toString((long) x) : Double.toString(x);
    }

    /** Throws unless least &lt;= x &lt; below. */
    static void within(String what, double x, double least, double below) {
        if (!(x >= least && x < below)) {
            throw new IllegalArgumentException(what + " must be at least " + least + " and below " + below + ", got " + x);
        }
    }
}
