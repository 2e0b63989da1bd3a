package dev.graft.engine;

/**
 * The optimizer of a training plan; formulas as in torch.optim 2.x. Rates, decays and the clipping norm are numbers of
 * the step ({@link Session#rate}, {@link Session#decay}, {@link Session#clip}), not of the plan.
 */
public sealed interface Optimizer {
    /**
     * Stochastic gradient descent; decay is added to the gradient.
     *
     * @param momentum 0 keeps no moment
     * @param nesterov looks ahead; needs momentum
     */
    record Sgd(double momentum, boolean nesterov) implements Optimizer {
        /** Checks the range. */
        public Sgd {
            Numbers.within("momentum", momentum, 0, 1);
            if (nesterov && momentum == 0) {
                throw new IllegalArgumentException("Nesterov's method needs a momentum above 0, got 0");
            }
        }
    }

    /** Adam (Kingma, Ba 2015); decay is added to the gradient. */
    record Adam(double beta1, double beta2, double eps) implements Optimizer {
        /** The usual 0.9, 0.999 and 1e-8. */
        public Adam() {
            this(0.9, 0.999, 1e-8);
        }

        /** Checks the ranges. */
        public Adam {
            Numbers.within("beta1", beta1, 0, 1);
            Numbers.within("beta2", beta2, 0, 1);
            Numbers.within("eps", eps, 0, Double.POSITIVE_INFINITY);
        }
    }

    /** AdamW (Loshchilov, Hutter 2019); decay shrinks the weight itself. */
    record AdamW(double beta1, double beta2, double eps) implements Optimizer {
        /** The usual 0.9, 0.999 and 1e-8. */
        public AdamW() {
            this(0.9, 0.999, 1e-8);
        }

        /** Checks the ranges. */
        public AdamW {
            Numbers.within("beta1", beta1, 0, 1);
            Numbers.within("beta2", beta2, 0, 1);
            Numbers.within("eps", eps, 0, Double.POSITIVE_INFINITY);
        }
    }
}
