package dev.graft.engine;

import java.util.HashMap;
import java.util.Map;

/** Loss and gradients of {@link Mlp} by the formulas, in double. */
final class MlpByHand {
    final double loss;
    final double correct;
    final Map<String, double[]> gradients = new HashMap<>();

    MlpByHand(Parameters parameters, float[] x, int[] labels) {
        float[] w1 = parameters.read("fc1.weight");
        float[] b1 = parameters.read("fc1.bias");
        float[] w2 = parameters.read("fc2.weight");
        float[] b2 = parameters.read("fc2.bias");
        double[] dw1 = new double[w1.length];
        double[] db1 = new double[b1.length];
        double[] dw2 = new double[w2.length];
        double[] db2 = new double[b2.length];
        double sum = 0;
        int right = 0;
        int rows = labels.length;
        for (int n = 0; n < rows; n++) {
            double[] h = new double[Mlp.HIDDEN];
            for (int j = 0; j < Mlp.HIDDEN; j++) {
                h[j] = b1[j];
                for (int i = 0; i < Mlp.IN; i++) {
                    h[j] += (double) w1[j * Mlp.IN + i] * x[n * Mlp.IN + i];
                }
                h[j] = Math.max(0, h[j]);
            }
            double[] p = new double[Mlp.CLASSES];
            double total = 0;
            int best = 0;
            for (int c = 0; c < Mlp.CLASSES; c++) {
                double logit = b2[c];
                for (int j = 0; j < Mlp.HIDDEN; j++) {
                    logit += w2[c * Mlp.HIDDEN + j] * h[j];
                }
                p[c] = Math.exp(logit);
                total += p[c];
                best = p[c] > p[best] ? c : best;
            }
            sum -= Math.log(p[labels[n]] / total);
            right += best == labels[n] ? 1 : 0;
            for (int c = 0; c < Mlp.CLASSES; c++) {
                double dlogit = (p[c] / total - (c == labels[n] ? 1 : 0)) / rows;
                db2[c] += dlogit;
                for (int j = 0; j < Mlp.HIDDEN; j++) {
                    dw2[c * Mlp.HIDDEN + j] += dlogit * h[j];
                    if (h[j] > 0) {
                        double dh = dlogit * w2[c * Mlp.HIDDEN + j];
                        db1[j] += dh;
                        for (int i = 0; i < Mlp.IN; i++) {
                            dw1[j * Mlp.IN + i] += dh * x[n * Mlp.IN + i];
                        }
                    }
                }
            }
        }
        loss = sum / rows;
        correct = right;
        gradients.put("fc1.weight", dw1);
        gradients.put("fc1.bias", db1);
        gradients.put("fc2.weight", dw2);
        gradients.put("fc2.bias", db2);
    }
}
