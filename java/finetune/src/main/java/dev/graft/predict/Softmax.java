package dev.graft.predict;

import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/** From logits to the likeliest classes. */
final class Softmax {
    private Softmax() {
    }

    /** The {@code count} likeliest classes, equal ones by index; all if there are fewer. */
    static List<ClassProbability> top(float[] logits, List<String> names, int count) {
        double most = IntStream.range(0, logits.length).mapToDouble(c -> logits[c]).max().orElseThrow();
        double[] p = IntStream.range(0, logits.length).mapToDouble(c -> Math.exp(logits[c] - most)).toArray();
        double sum = 0;
        for (double value : p) {
            sum += value;
        }
        double total = sum;
        return IntStream.range(0, p.length).boxed().sorted(Comparator.comparingDouble((Integer c) -> -logits[c])).limit(count)
                .map(c -> new ClassProbability(names.get(c), p[c] / total)).toList();
    }
}
