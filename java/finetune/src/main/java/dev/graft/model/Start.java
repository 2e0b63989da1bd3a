package dev.graft.model;

import dev.graft.engine.Philox;

/** How a parameter begins when no checkpoint gives it: the published models' own rules. */
public sealed interface Start {
    /** Every element the same. */
    record Constant(double value) implements Start {}

    /** Normal with mean 0. */
    record Normal(double deviation) implements Start {}

    /** Uniform in [-bound, bound). */
    record Uniform(double bound) implements Start {}

    /** He et al. 2015, gain of ReLU: normal with deviation sqrt(2 / fan), whichever fan the model takes. */
    static Start kaimingNormal(double fan) {
        return new Normal(Math.sqrt(2 / fan));
    }

    /** He et al. 2015, gain of ReLU: uniform in +-sqrt(6 / fan). */
    static Start kaimingUniform(double fan) {
        return new Uniform(Math.sqrt(6 / fan));
    }

    /** Glorot and Bengio 2010, Keras's default: uniform in +-sqrt(6 / (fanIn + fanOut)). */
    static Start glorotUniform(double fanIn, double fanOut) {
        return new Uniform(Math.sqrt(6 / (fanIn + fanOut)));
    }

    /** What PyTorch gives linear and convolution layers by default: uniform in +-1/sqrt(fanIn). */
    static Start torchDefault(double fanIn) {
        return new Uniform(1 / Math.sqrt(fanIn));
    }

    /** The elements for a parameter: a pure function of (seed, name, index). */
    default float[] values(long seed, String parameter, int count) {
        float[] values = new float[count];
        long key = Philox.key(seed, "start:" + parameter);
        for (int i = 0; i < count; i++) {
            if (this instanceof Constant c) {
                values[i] = (float) c.value();
            } else if (this instanceof Normal n) {
                values[i] = (float) (n.deviation() * Philox.normal(key, 0, 0, i));
            } else if (this instanceof Uniform u) {
                values[i] = (float) (u.bound() * (2 * Philox.uniform(key, 0, 0, i) - 1));
            }
        }
        return values;
    }
}
