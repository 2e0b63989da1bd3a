package dev.graft.finetune;

import dev.graft.data.Dataset;
import dev.graft.data.Limits;
import dev.graft.engine.Device;
import dev.graft.predict.Predictor;
import dev.graft.weights.Bundle;
import java.nio.file.Path;
import java.util.OptionalDouble;

/**
 * Answers of a low-rank run's merged network beside those of the network it began from with the run's PEFT folder on top.
 *
 * @param pictures of the test split
 * @param same of them with the same largest logit
 * @param drift largest difference of a logit
 */
record KeptAnswers(int pictures, int same, double drift) {
    /**
     * @param source bundle that the run began from
     * @param out the run's folder
     */
    static KeptAnswers of(Path source, Path out, Path data) {
        try (Dataset dataset = Dataset.open(data, 0, OptionalDouble.empty(), Limits.DEFAULT);
                Predictor merged = Predictor.open(out);
                Predictor base = Predictor.open(source);
                Predictor adapted = base.withAdapter("run", out.resolve(Bundle.ADAPTER))) {
            float[][] expected = merged.logits(dataset.test(), Device.defaultThreads());
            float[][] actual = adapted.logits(dataset.test(), Device.defaultThreads());
            int same = 0;
            double drift = 0;
            for (int i = 0; i < expected.length; i++) {
                same += largest(expected[i]) == largest(actual[i]) ? 1 : 0;
                for (int c = 0; c < expected[i].length; c++) {
                    drift = Math.max(drift, Math.abs(expected[i][c] - actual[i][c]));
                }
            }
            return new KeptAnswers(expected.length, same, drift);
        }
    }

    private static int largest(float[] logits) {
        int largest = 0;
        for (int c = 1; c < logits.length; c++) {
            largest = logits[c] > logits[largest] ? c : largest;
        }
        return largest;
    }
}
