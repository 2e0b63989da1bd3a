package dev.graft.finetune;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;

/** The CSV of accuracy figures: a row a run and a row a mean, appended as they come. */
final class AccuracyCsv {
    private static final String HEADER = "figure,precision,seed,accuracy,floor,reference,seconds,note\n";

    private final Path file;

    AccuracyCsv(Path file) throws IOException {
        this.file = file;
        if (!Files.exists(file)) {
            Files.writeString(file, HEADER);
        }
    }

    /** Appends a row; numbers that are NaN stay empty. */
    void row(String figure, String precision, String seed, double accuracy, double floor, double reference, double seconds, String note) {
        String line = String.format(Locale.ROOT, "%s,%s,%s,%.2f,%s,%s,%.1f,%s%n", figure, precision, seed, accuracy, number(floor), number(reference),
                seconds, note);
        System.out.print(line);
        try {
            Files.writeString(file, line, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new UncheckedIOException(file + ": cannot be written", e);
        }
    }

    private static String number(double x) {
        return Double.isNaN(x) ? "" : String.format(Locale.ROOT, "%.2f", x);
    }
}
