package dev.graft.cli;

import dev.graft.weights.NearestName;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** Values of options that are one of a list. */
final class Choice {
    private Choice() {
    }

    /**
     * The value if it is one of the known ones.
     *
     * @throws IllegalArgumentException if it is not; the message offers the nearest
     */
    static String of(String option, String value, List<String> known) {
        if (known.contains(value)) {
            return value;
        }
        String nearest = NearestName.of(value, known);
        throw new IllegalArgumentException(option + " is " + value + ", expected " + String.join(", ", known)
                + (nearest == null ? "" : "; did you mean " + nearest + "?"));
    }

    /** The constant of this name in small letters. */
    static <E extends Enum<E>> E of(String option, String value, E[] known) {
        List<String> names = Arrays.stream(known).map(c -> c.name().toLowerCase(Locale.ROOT)).toList();
        return known[names.indexOf(of(option, value, names))];
    }
}
