package dev.graft.tune;

import java.util.List;

/**
 * Differential rates: factors on the run's rate by layer.
 *
 * @param multipliers patterns with their factors; of several that match a name, the last holds
 * @param layerDecay factor from each layer group to the one below it; 1 for none
 */
public record RateRule(List<Multiplier> multipliers, double layerDecay) {
    /** No difference between layers. */
    public static final RateRule EVEN = new RateRule(List.of(), 1);

    /** A factor for the names that match. */
    public record Multiplier(Glob pattern, double factor) {
        /** Checks the factor. */
        public Multiplier {
            if (!(factor >= 0) || Double.isInfinite(factor)) {
                throw new IllegalArgumentException("rate multiplier of " + pattern.text() + " is " + factor + ", expected 0 or more");
            }
        }

        /** Reads {@code GLOB=X}. */
        public static Multiplier parse(String text) {
            int equals = text.lastIndexOf('=');
            if (equals <= 0) {
                throw new IllegalArgumentException("rate multiplier " + text + ": expected GLOB=NUMBER");
            }
            try {
                return new Multiplier(new Glob(text.substring(0, equals)), Double.parseDouble(text.substring(equals + 1)));
            } catch (NumberFormatException e) {
                throw new IllegalArgumentException("rate multiplier " + text + ": expected GLOB=NUMBER", e);
            }
        }
    }

    /** Copies the list and checks the decay. */
    public RateRule {
        multipliers = List.copyOf(multipliers);
        if (!(layerDecay > 0) || layerDecay > 1) {
            throw new IllegalArgumentException("layer decay is " + layerDecay + ", expected above 0 and at most 1");
        }
    }
}
