package dev.graft.evaluate;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.stream.IntStream;

/**
 * What one pass over a split says about a classifier. Immutable and thread-safe.
 *
 * @param accuracy share of samples whose predicted class is the true one, 0 to 1
 * @param samples number of samples
 * @param correct samples predicted rightly
 * @param loss mean cross-entropy in nats
 * @param top5 share of samples whose label is among the five largest scores, {@code null} below six classes
 * @param precision averages over classes
 * @param recall averages over classes
 * @param f1 averages over classes
 * @param rocAuc areas under the one-versus-rest curves; of two classes both have the binary area
 * @param confusion counts of (true, predicted) classes
 * @param classes the per-class table, in class order
 * @param seconds wall time of the pass
 */
public record Evaluation(
        double accuracy, long samples, long correct, double loss, Double top5, Averages precision, Averages recall,
        Averages f1, RocAuc rocAuc, ConfusionMatrix confusion, List<ClassScores> classes, double seconds) {

    /** Keeps an unmodifiable copy of the table. */
    public Evaluation {
        classes = List.copyOf(classes);
    }

    /**
     * Evaluates predictions.
     *
     * @param classNames one name per class
     * @param seconds wall time that the predictions took
     * @throws IllegalArgumentException if the number of names is not the number of classes
     */
    public static Evaluation of(Predictions predictions, List<String> classNames, double seconds) {
        int k = predictions.classes();
        if (classNames.size() != k) {
            throw new IllegalArgumentException("scores have " + k + " classes, but there are " + classNames.size()
                    + " class names");
        }
        ConfusionMatrix matrix = predictions.confusion();
        RocAuc areas = RocAuc.of(predictions);
        List<ClassScores> table = IntStream.range(0, k)
                .mapToObj(c -> new ClassScores(classNames.get(c), matrix.precision(c), matrix.recall(c), matrix.f1(c),
                        areas.classes().get(c), matrix.support(c)))
                .toList();
        return new Evaluation(matrix.accuracy(), matrix.samples(), matrix.correct(), predictions.loss(),
                k > 5 ? predictions.topAccuracy(5) : null, matrix.precision(), matrix.recall(), matrix.f1(), areas,
                matrix, table, seconds);
    }

    /**
     * The view that the command prints: {@code accuracy}, {@code samples}, {@code correct}, {@code loss},
     * {@code seconds}; {@code f1}, {@code precision} and {@code recall} with {@code macro}, {@code micro} and
     * {@code weighted}; {@code roc_auc} with {@code macro} and {@code weighted}; {@code top5}; {@code classes}.
     * What is undefined is {@code null}.
     */
    public ObjectNode toJson() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("accuracy", accuracy).put("samples", samples).put("correct", correct).put("loss", loss);
        put(json.putObject("f1"), f1);
        put(json.putObject("precision"), precision);
        put(json.putObject("recall"), recall);
        json.putObject("roc_auc").put("macro", rocAuc.macro()).put("weighted", rocAuc.weighted());
        json.put("top5", top5);
        var table = json.putArray("classes");
        for (ClassScores c : classes) {
            table.addObject().put("name", c.name()).put("precision", c.precision()).put("recall", c.recall())
                    .put("f1", c.f1()).put("roc_auc", c.rocAuc()).put("support", c.support());
        }
        return json.put("seconds", seconds);
    }

    private static void put(ObjectNode json, Averages averages) {
        json.put("macro", averages.macro()).put("micro", averages.micro()).put("weighted", averages.weighted());
    }
}
