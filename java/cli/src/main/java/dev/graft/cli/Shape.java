package dev.graft.cli;

import java.util.List;
import java.util.Locale;

/** Figures of the demonstration, as sets of points in the square [-1, 1]^2. */
enum Shape {
    DISC {
        @Override
        boolean holds(double x, double y) {
            return StrictMath.hypot(x, y) < 0.85;
        }
    },
    SQUARE {
        @Override
        boolean holds(double x, double y) {
            return Math.max(Math.abs(x), Math.abs(y)) < 0.75;
        }
    },
    TRIANGLE {
        @Override
        boolean holds(double x, double y) {
            return polygon(3, 0.5, x, y);
        }
    },
    RING {
        @Override
        boolean holds(double x, double y) {
            return Math.abs(StrictMath.hypot(x, y) - 0.7) < 0.22;
        }
    },
    CROSS {
        @Override
        boolean holds(double x, double y) {
            return Math.min(Math.abs(x), Math.abs(y)) < 0.27 && Math.max(Math.abs(x), Math.abs(y)) < 0.9;
        }
    },
    STAR {
        @Override
        boolean holds(double x, double y) {
            double sector = 2 * Math.PI / 5;
            double turn = Math.abs((StrictMath.atan2(y, x) + 2 * Math.PI) % sector / sector - 0.5) * 2;
            return StrictMath.hypot(x, y) < 0.4 + 0.6 * turn * turn;
        }
    },
    BAR {
        @Override
        boolean holds(double x, double y) {
            return Math.abs(x) < 0.95 && Math.abs(y) < 0.3;
        }
    },
    HALF_DISC {
        @Override
        boolean holds(double x, double y) {
            return StrictMath.hypot(x, y + 0.4) < 0.95 && y > -0.4;
        }
    },
    DOTS {
        @Override
        boolean holds(double x, double y) {
            return StrictMath.hypot(Math.abs(x) - 0.52, y) < 0.42;
        }
    },
    CHECKER {
        @Override
        boolean holds(double x, double y) {
            return Math.max(Math.abs(x), Math.abs(y)) < 0.8 && x * y > 0;
        }
    },
    ARROW {
        @Override
        boolean holds(double x, double y) {
            return Math.abs(y) < 0.2 && x > -0.9 && x < 0.2 || x >= 0.1 && Math.abs(y) < 0.95 * (0.95 - x);
        }
    },
    CRESCENT {
        @Override
        boolean holds(double x, double y) {
            return StrictMath.hypot(x, y) < 0.9 && StrictMath.hypot(x - 0.45, y) > 0.72;
        }
    },
    HEXAGON {
        @Override
        boolean holds(double x, double y) {
            return polygon(6, 0.8, x, y);
        }
    },
    HEART {
        @Override
        boolean holds(double x, double y) {
            double u = 1.25 * x;
            double v = 1.25 * y + 0.1;
            double r = u * u + v * v - 1;
            return r * r * r < u * u * v * v * v;
        }
    },
    ANGLE {
        @Override
        boolean holds(double x, double y) {
            return Math.max(Math.abs(x), Math.abs(y)) < 0.85 && (x < -0.3 || y < -0.3);
        }
    },
    FRAME {
        @Override
        boolean holds(double x, double y) {
            double far = Math.max(Math.abs(x), Math.abs(y));
            return far > 0.48 && far < 0.82;
        }
    };

    /** What the backbone of the demonstration was trained on. */
    static final List<Shape> SOURCE = List.of(DISC, SQUARE, TRIANGLE, RING, CROSS, STAR, BAR, HALF_DISC, DOTS, CHECKER);
    /** What it is fine-tuned on. */
    static final List<Shape> TARGET = List.of(ARROW, CRESCENT, HEXAGON, HEART, ANGLE, FRAME);

    /** Whether a point belongs to the figure. */
    abstract boolean holds(double x, double y);

    /** Name of its class. */
    String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** A regular polygon around the origin whose sides are {@code distance} away. */
    private static boolean polygon(int sides, double distance, double x, double y) {
        double sector = 2 * Math.PI / sides;
        double turn = (StrictMath.atan2(y, x) + 2 * Math.PI) % sector - sector / 2;
        return StrictMath.hypot(x, y) * StrictMath.cos(turn) < distance;
    }
}
