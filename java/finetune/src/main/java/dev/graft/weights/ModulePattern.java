package dev.graft.weights;

import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/** A regular expression for module names out of a PEFT configuration: its length and the steps of a match are bounded. */
final class ModulePattern {
    private static final int LONGEST = 1 << 16;
    private static final int MOST_STEPS = 1_000_000;

    private final String key;
    private final String where;
    private final Pattern pattern;

    private ModulePattern(String key, String around, String where) {
        this.key = key;
        this.where = where;
        if (key.length() > LONGEST) {
            throw new WeightsException(where + ": a pattern of " + key.length() + " characters, expected at most " + LONGEST);
        }
        try {
            this.pattern = Pattern.compile(around.formatted(key));
        } catch (PatternSyntaxException | StackOverflowError e) {
            throw new WeightsException(where + ": not a regular expression: " + Messages.quoted(key), e);
        }
    }

    /**
     * For whole names: {@code target_modules} where it is a text.
     *
     * @throws WeightsException if it is no regular expression that can be used
     */
    static ModulePattern whole(String key, String where) {
        return new ModulePattern(key, "(?:%s)", where);
    }

    /** For whole names, or their ends behind a dot: the keys of {@code rank_pattern} and {@code alpha_pattern}. Throws as {@link #whole}. */
    static ModulePattern end(String key, String where) {
        return new ModulePattern(key, "(.*\\.)?(%s)", where);
    }

    /** The expression that this name alone matches. */
    static String exactly(String module) {
        return "^" + module.replaceAll("[^A-Za-z0-9_]", "\\\\$0");
    }

    boolean matches(String module) {
        try {
            return pattern.matcher(new Counted(module, new int[1])).matches();
        } catch (IllegalStateException | StackOverflowError e) {
            throw new WeightsException(where + ": the pattern " + Messages.quoted(key) + " takes too long", e);
        }
    }

    /** A text that gives up when it has been looked at too often. */
    private record Counted(String text, int[] steps) implements CharSequence {
        @Override
        public int length() {
            return text.length();
        }

        @Override
        public char charAt(int index) {
            if (++steps[0] > MOST_STEPS) {
                throw new IllegalStateException("more than " + MOST_STEPS + " steps");
            }
            return text.charAt(index);
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return new Counted(text.substring(start, end), steps);
        }

        @Override
        public String toString() {
            return text;
        }
    }
}
