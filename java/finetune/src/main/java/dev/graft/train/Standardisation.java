package dev.graft.train;

import dev.graft.engine.Graph;
import dev.graft.engine.Node;
import dev.graft.engine.Origin;
import dev.graft.engine.Parameters;
import dev.graft.engine.Value;
import dev.graft.model.Network;
import java.util.Arrays;
import java.util.List;

/**
 * Features scaled to mean 0 and deviation 1 per channel, as a linear probe wants them, while the head trains; folded into
 * the head's weight and bias afterwards, so that the saved network is the published one. Statistics are the training
 * set's, over pictures and positions, in double.
 */
final class Standardisation {
    static final String SCALE = "standardise.scale";
    static final String SHIFT = "standardise.shift";
    private static final double SMALLEST_DEVIATION = 1e-6;

    private final int channels;
    private final double[] sum;
    private final double[] squares;
    private long count;

    Standardisation(int channels) {
        this.channels = channels;
        this.sum = new double[channels];
        this.squares = new double[channels];
    }

    /** Takes positions x channels values of one picture in. */
    void add(float[] features) {
        for (int i = 0; i < features.length; i += channels) {
            for (int c = 0; c < channels; c++) {
                double x = features[i + c];
                sum[c] += x;
                squares[c] += x * x;
            }
        }
        count += features.length / channels;
    }

    /** Gives the store the scale and shift; a channel that never varies is only shifted. */
    void write(Parameters parameters) {
        float[] scale = new float[channels];
        float[] shift = new float[channels];
        for (int c = 0; c < channels; c++) {
            double mean = sum[c] / count;
            double deviation = Math.sqrt(Math.max(0, squares[c] / count - mean * mean));
            double s = deviation > SMALLEST_DEVIATION ? 1 / deviation : 1;
            scale[c] = (float) s;
            shift[c] = (float) (-mean * s);
        }
        parameters.write(SCALE, scale);
        parameters.write(SHIFT, shift);
    }

    /** The graph with features scaled and shifted on their way into the head. */
    static Graph insert(Graph graph, int channels) {
        String features = graph.outputs().get(Network.FEATURES).name();
        return graph.replace(features, (b, node) -> {
            Value raw = b.add(node);
            Value scaled = b.multiply("standardise.multiply", raw, b.parameter(SCALE, channels));
            return b.add("standardise.add", scaled, b.parameter(SHIFT, channels));
        });
    }

    /** Declares scale and shift, unless an earlier run over the same store has. */
    static void declare(Parameters parameters, int channels) {
        if (parameters.contains(SCALE)) {
            return;
        }
        parameters.declare(SCALE, List.of((long) channels), false, Origin.METHOD);
        parameters.declare(SHIFT, List.of((long) channels), false, Origin.METHOD);
    }

    /**
     * Puts scale and shift into the first layer of the head: {@code w[o][c] *= scale[c]}, {@code b[o] += w[o] . shift} with the
     * trained {@code w}. Scale and shift become 1 and 0.
     */
    static void fold(Network network, Parameters parameters) {
        float[] scale = parameters.read(SCALE);
        float[] shift = parameters.read(SHIFT);
        rewrite(firstLayer(network), parameters, scale, shift);
        Arrays.fill(scale, 1);
        parameters.write(SCALE, scale);
        parameters.write(SHIFT, new float[shift.length]);
    }

    /** Makes a head that was kept from a checkpoint answer to scaled features as it did to raw ones: the inverse of the fold. */
    static void adapt(Network network, Parameters parameters) {
        Node layer = firstLayer(network);
        if (parameters.declaration(layer.inputs().get(1).name()).origin() != Origin.CHECKPOINT) {
            return;
        }
        float[] scale = parameters.read(SCALE);
        float[] shift = parameters.read(SHIFT);
        for (int c = 0; c < scale.length; c++) {
            shift[c] = -shift[c] / scale[c];
            scale[c] = 1 / scale[c];
        }
        rewrite(layer, parameters, scale, shift);
    }

    // The layer of x * scale + shift: w' = w * scale, b' = b + w . shift.
    private static void rewrite(Node layer, Parameters parameters, float[] scale, float[] shift) {
        String weight = layer.inputs().get(1).name();
        String bias = layer.inputs().get(2).name();
        float[] w = parameters.read(weight);
        float[] b = parameters.read(bias);
        int width = w.length / b.length;
        for (int o = 0; o < b.length; o++) {
            double moved = b[o];
            for (int c = 0; c < width; c++) {
                moved += (double) w[o * width + c] * shift[c];
                w[o * width + c] *= scale[c];
            }
            b[o] = (float) moved;
        }
        parameters.write(weight, w);
        parameters.write(bias, b);
    }

    /** The linear layer or 1x1 convolution with a bias that the features enter. */
    private static Node firstLayer(Network network) {
        for (Node n : network.graph().nodes()) {
            boolean linear = n.op().equals("linear") || n.op().equals("conv2d");
            if (linear && network.head().parameters().contains(n.inputs().get(1).name())) {
                List<Long> dims = network.graph().parameters().stream().filter(p -> p.value().equals(n.inputs().get(1)))
                        .findFirst().orElseThrow().dims();
                boolean pointwise = dims.size() == 2 || dims.get(1) == 1 && dims.get(2) == 1;
                if (n.inputs().size() > 2 && pointwise) {
                    return n;
                }
            }
        }
        throw new IllegalStateException(network.name() + ": the head does not begin with a linear layer that has a bias");
    }
}
