package dev.graft.train;

/**
 * Rate schedules: the factor on the run's rate at an update, a pure function.
 *
 * <p>Before it, {@code warmup} updates rise linearly from {@code 1 / warmup}; the schedule then spans what remains.
 */
public enum Schedule {
    /** Always 1. */
    CONSTANT {
        @Override
        double shape(int update, int total) {
            return 1;
        }
    },
    /** 1, and a tenth in the last quarter. */
    STEP {
        @Override
        double shape(int update, int total) {
            return 4L * update >= 3L * total ? 0.1 : 1;
        }
    },
    /** Half a cosine from 1 towards 0 (Loshchilov, Hutter 2017, without restarts). */
    COSINE {
        @Override
        double shape(int update, int total) {
            return 0.5 * (1 + Math.cos(Math.PI * update / total));
        }
    },
    /** Up from 1/25 in the first 30 % and down to 1/250000, both by half cosines (Smith, Topin 2018; PyTorch's OneCycleLR). */
    ONECYCLE {
        @Override
        double shape(int update, int total) {
            double up = 0.3 * total - 1;
            double down = total - 1.0;
            if (update <= up) {
                return between(START, 1, up > 0 ? update / up : 1);
            }
            return between(1, START / 1e4, down > up ? (update - up) / (down - up) : 1);
        }
    };

    private static final double START = 1.0 / 25;

    abstract double shape(int update, int total);

    /**
     * @param update number of the update, from 0
     * @param total updates of the run, at least 1
     * @param warmup updates of the rise, less than {@code total}
     */
    public double factor(int update, int total, int warmup) {
        if (total < 1 || update < 0 || update >= total || warmup < 0 || warmup >= total) {
            throw new IllegalArgumentException("schedule: update " + update + " of " + total + " with " + warmup
                    + " of warm-up; expected 0 <= update < total and 0 <= warm-up < total");
        }
        return update < warmup ? (update + 1.0) / warmup : shape(update - warmup, total - warmup);
    }

    private static double between(double from, double to, double share) {
        return to + (from - to) / 2 * (1 + Math.cos(Math.PI * share));
    }
}
