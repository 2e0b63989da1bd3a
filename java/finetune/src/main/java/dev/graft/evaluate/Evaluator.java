package dev.graft.evaluate;

import dev.graft.data.Batch;
import dev.graft.data.DataException;
import dev.graft.data.DecodedCache;
import dev.graft.data.Loader;
import dev.graft.data.Rejected;
import dev.graft.data.Split;
import dev.graft.predict.Predictor;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** Measures a predictor on the labelled pictures of a split. */
public final class Evaluator {
    private Evaluator() {
    }

    /** Hears how far a pass is. Called on the evaluating thread. */
    @FunctionalInterface
    public interface Progress {
        /** {@code done} of {@code all} pictures are through. */
        void pass(int done, int all);
    }

    /**
     * What a pass over a split came to.
     *
     * @param evaluation of the pictures that could be read
     * @param unreadable the others
     */
    public record Outcome(Evaluation evaluation, List<Rejected> unreadable) {
        /** Copies the list. */
        public Outcome {
            unreadable = List.copyOf(unreadable);
        }
    }

    /** {@link #measure}, of which only the evaluation is of interest. */
    public static Evaluation evaluate(Predictor predictor, Split split, int threads, Progress progress) {
        return measure(predictor, split, threads, progress).evaluation();
    }

    /**
     * Runs all pictures of a split through a predictor. Classes are matched by name: a split may have fewer classes than the
     * network, or the same in another order.
     *
     * @param threads that decode pictures
     * @throws DataException if the split has a class that the network does not know, or too many pictures cannot be read
     */
    public static Outcome measure(Predictor predictor, Split split, int threads, Progress progress) {
        int[] classOf = classes(predictor, split);
        Predictions.Collector collector = Predictions.collector(predictor.classes().size());
        long start = System.nanoTime();
        int done = 0;
        try (Loader loader = Loader.sequential(split, predictor.pipeline(), predictor.batch(), threads, new DecodedCache(0))) {
            loader.begin(0);
            for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
                float[] logits = predictor.logits(batch);
                requireFinite(logits, batch, predictor);
                int[] labels = Arrays.stream(batch.labels()).map(label -> classOf[label]).toArray();
                collector.add(logits, labels, batch.validRows());
                done += batch.validRows();
                progress.pass(done, split.size());
            }
            double seconds = (System.nanoTime() - start) / 1e9;
            return new Outcome(Evaluation.of(collector.predictions(), predictor.classes(), seconds), loader.unreadable());
        }
    }

    private static int[] classes(Predictor predictor, Split split) {
        return IntStream.range(0, split.classes().size()).map(label -> {
            String name = split.classes().get(label);
            int at = predictor.classes().indexOf(name);
            if (at < 0) {
                throw new DataException("the " + split.name() + " pictures have the class '" + name + "', " + predictor.model() + " knows "
                        + shortened(predictor.classes()));
            }
            return at;
        }).toArray();
    }

    private static String shortened(List<String> names) {
        int shown = Math.min(names.size(), 10);
        return String.join(", ", names.subList(0, shown)) + (shown < names.size() ? " and " + (names.size() - shown) + " more" : "");
    }

    private static void requireFinite(float[] logits, Batch batch, Predictor predictor) {
        for (int i = 0; i < logits.length; i++) {
            if (!Float.isFinite(logits[i])) {
                int row = i / predictor.classes().size();
                throw new ArithmeticException(predictor.model() + " answers " + logits[i] + " for class '"
                        + predictor.classes().get(i % predictor.classes().size()) + "' of " + batch.path(row) + ", expected a finite number");
            }
        }
    }
}
