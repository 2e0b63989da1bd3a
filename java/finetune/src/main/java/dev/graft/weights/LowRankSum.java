package dev.graft.weights;

/** A product of low rank added to a weight. */
public final class LowRankSum {
    private LowRankSum() {
    }

    /**
     * {@code weight[row + i][k] += factor * sum over r of b[i][r] * a[r][k]}, in place, in one pass over these rows.
     *
     * @param weight rows of {@code a.length / rank} elements
     * @param row first row that changes; {@code b.length / rank} do
     * @param a [rank][row of weight]
     * @param b [rows][rank]
     * @return the largest change of an element
     */
    public static double add(float[] weight, int row, float[] a, float[] b, int rank, double factor) {
        int width = a.length / rank;
        double[] sum = new double[width];
        double largest = 0;
        for (int i = 0; i < b.length / rank; i++) {
            java.util.Arrays.fill(sum, 0);
            for (int r = 0; r < rank; r++) {
                double up = factor * b[i * rank + r];
                for (int k = 0; k < width; k++) {
                    sum[k] += up * a[r * width + k];
                }
            }
            int at = (row + i) * width;
            for (int k = 0; k < width; k++) {
                weight[at + k] += (float) sum[k];
                largest = Math.max(largest, Math.abs(sum[k]));
            }
        }
        return largest;
    }
}
