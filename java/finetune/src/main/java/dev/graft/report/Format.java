package dev.graft.report;

import java.util.Locale;

/** Numbers as the page prints them, the same in every locale. */
final class Format {
    private Format() {}

    static String count(long value) {
        return String.format(Locale.ROOT, "%,d", value);
    }

    /** A share of 1 in per cent, without the sign. */
    static String percent(double share) {
        return String.format(Locale.ROOT, "%.2f", 100 * share);
    }

    static String decimal(double value) {
        return String.format(Locale.ROOT, "%.4f", value);
    }

    static String seconds(double seconds) {
        return String.format(Locale.ROOT, seconds < 10 ? "%.2f" : "%.1f", seconds);
    }

    static String mebibytes(long bytes) {
        return String.format(Locale.ROOT, "%,.1f", bytes / 1048576.0);
    }
}
