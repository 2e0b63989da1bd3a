package dev.graft.weights;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.LongStream;

/**
 * How the tensors of a file fit those a model expects, by name and sizes. A record of lists, so that a JSON mapper can
 * write it as it is.
 *
 * @param source         the file
 * @param format         its format
 * @param stateKey       key of a training checkpoint under which the tensors were; empty for the top level
 * @param strippedPrefix prefix that was removed from all names; empty for none
 * @param matched        names that agree in sizes, in the model's order
 * @param missing        tensors the model expects and the file has not
 * @param unexpected     tensors of the file that the model has not
 * @param mismatched     tensors of other sizes, or of a type that holds no weights
 * @param resampled      tensors of another size that are brought to the model's: position embeddings of another grid
 * @param counters       batch norm counters ({@code num_batches_tracked}) of the file, which are ignored
 * @param others         what else the file holds, in words
 */
public record LoadReport(String source, String format, String stateKey, String strippedPrefix, List<String> matched,
                         List<Shape> missing, List<Shape> unexpected, List<Mismatch> mismatched, List<Mismatch> resampled,
                         List<String> counters, List<String> others) {
    private static final String COUNTER = "num_batches_tracked";
    private static final int NAMES_IN_MESSAGE = 3;
    private static final int ROWS = 40;

    /** Name and sizes of a tensor. */
    public record Shape(String name, List<Long> dims) {
        /** From an array of sizes. */
        public static Shape of(String name, long... dims) {
            return new Shape(name, LongStream.of(dims).boxed().toList());
        }
    }

    /** A tensor that the model expects with other sizes than the file has, or that the file has in a type of no weights. */
    public record Mismatch(String name, List<Long> expected, List<Long> found, Dtype dtype) {
        private String inWords() {
            return Messages.quoted(name) + ": the model has " + expected + ", the file " + found
                    + (dtype.floating() ? "" : " of " + dtype);
        }
    }

    /** Compares the tensors of a file with those of a model, given in the model's order. */
    public static LoadReport compare(WeightFile file, Collection<Shape> expected) {
        List<String> matched = new ArrayList<>();
        List<Shape> missing = new ArrayList<>();
        List<Mismatch> mismatched = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (Shape shape : expected) {
            if (!names.add(shape.name())) {
                throw new IllegalArgumentException("the model names " + shape.name() + " twice");
            }
            if (!file.contains(shape.name())) {
                missing.add(shape);
                continue;
            }
            StoredTensor found = file.tensor(shape.name());
            List<Long> dims = Arrays.stream(found.dims()).boxed().toList();
            if (dims.equals(shape.dims()) && found.dtype().floating()) {
                matched.add(shape.name());
            } else {
                mismatched.add(new Mismatch(shape.name(), shape.dims(), dims, found.dtype()));
            }
        }
        List<Shape> unexpected = new ArrayList<>();
        List<String> counters = new ArrayList<>();
        for (StoredTensor tensor : file.tensors()) {
            if (names.contains(tensor.name())) {
                continue;
            }
            if (tensor.name().equals(COUNTER) || tensor.name().endsWith("." + COUNTER)) {
                counters.add(tensor.name());
            } else {
                unexpected.add(Shape.of(tensor.name(), tensor.dims()));
            }
        }
        return new LoadReport(file.path().toString(), file.format(), file.stateKey(), file.strippedPrefix(), List.copyOf(matched),
                List.copyOf(missing), List.copyOf(unexpected), List.copyOf(mismatched), List.of(), List.copyOf(counters), file.others());
    }

    /** This report where those mismatched tensors that {@code fitting} names are brought to the model's sizes. */
    public LoadReport resampling(Predicate<Mismatch> fitting) {
        return new LoadReport(source, format, stateKey, strippedPrefix, matched, missing, unexpected,
                mismatched.stream().filter(fitting.negate()).toList(), mismatched.stream().filter(fitting).toList(), counters, others);
    }

    /** Whether every tensor of the model is in the file and no other; resampled ones count as there. */
    public boolean exact() {
        return missing.isEmpty() && unexpected.isEmpty() && mismatched.isEmpty();
    }

    /** Names of the model that the file does not give: they keep the values the model gave them. */
    public List<String> notLoaded() {
        List<String> names = new ArrayList<>(missing.stream().map(Shape::name).toList());
        mismatched.forEach(m -> names.add(m.name()));
        return names;
    }

    /**
     * Demands that the file fits the model except for the declared head, which may be missing, of other sizes, or there
     * although the model has it not.
     *
     * @param head names of tensors, or of modules whose tensors all belong to the head ({@code fc} for {@code fc.weight});
     *             empty if nothing may differ
     * @throws WeightsException one line with the first names of each kind
     */
    public void requireStrict(Collection<String> head) {
        List<String> absent = missing.stream().map(Shape::name).filter(n -> !belongs(n, head)).toList();
        List<String> foreign = unexpected.stream().map(Shape::name).filter(n -> !belongs(n, head)).toList();
        List<Mismatch> wrong = mismatched.stream().filter(m -> !belongs(m.name(), head)).toList();
        if (absent.isEmpty() && foreign.isEmpty() && wrong.isEmpty()) {
            return;
        }
        List<String> parts = new ArrayList<>();
        if (!absent.isEmpty()) {
            parts.add(absent.size() + " missing: " + listed(absent.stream().limit(NAMES_IN_MESSAGE)
                    .map(name -> Messages.quoted(name) + suggestion(name, foreign)).toList(), absent.size()));
        }
        if (!foreign.isEmpty()) {
            parts.add(foreign.size() + " unexpected: " + Messages.some(foreign, NAMES_IN_MESSAGE));
        }
        if (!wrong.isEmpty()) {
            parts.add(wrong.size() + " of other sizes: "
                    + listed(wrong.stream().limit(NAMES_IN_MESSAGE).map(Mismatch::inWords).toList(), wrong.size()));
        }
        throw new WeightsException(source + ": does not fit the model (" + matched.size() + " tensors match): " + String.join("; ", parts));
    }

    /** A table: counts, then a row for each tensor that is not matched, at most 40 of a kind. */
    @Override
    public String toString() {
        StringBuilder table = new StringBuilder(source + " (" + format + (stateKey.isEmpty() ? "" : ", " + stateKey)
                + (strippedPrefix.isEmpty() ? "" : ", prefix " + strippedPrefix + " stripped") + ")");
        table.append(String.format("%n  %-12s%d", "matched", matched.size()));
        rows(table, "missing", missing.stream().map(LoadReport::row).toList());
        rows(table, "unexpected", unexpected.stream().map(LoadReport::row).toList());
        rows(table, "mismatched", mismatched.stream().map(Mismatch::inWords).toList());
        if (!resampled.isEmpty()) {
            rows(table, "resampled", resampled.stream().map(Mismatch::inWords).toList());
        }
        table.append(String.format("%n  %-12s%d", "counters", counters.size()));
        rows(table, "other", others);
        return table.toString();
    }

    private static boolean belongs(String name, Collection<String> head) {
        return head.stream().anyMatch(h -> name.equals(h) || name.startsWith(h + "."));
    }

    private static String suggestion(String name, List<String> foreign) {
        String nearest = foreign.stream().filter(f -> f.endsWith("." + name)).findFirst()
                .orElseGet(() -> NearestName.of(name, foreign));
        return nearest == null ? "" : " (the file has " + Messages.quoted(nearest) + ")";
    }

    private static String listed(List<String> first, int count) {
        return String.join(", ", first) + (count > first.size() ? " and " + (count - first.size()) + " more" : "");
    }

    private static String row(Shape shape) {
        return Messages.oneLine(shape.name()) + " " + shape.dims();
    }

    private static void rows(StringBuilder table, String kind, List<String> rows) {
        table.append(String.format("%n  %-12s%d", kind, rows.size()));
        rows.stream().limit(ROWS).forEach(row -> table.append(String.format("%n    %s", row)));
        if (rows.size() > ROWS) {
            table.append(String.format("%n    and %d more", rows.size() - ROWS));
        }
    }
}
