package dev.graft.tune;

import java.util.List;
import java.util.regex.Pattern;

/** A pattern of parameter names: {@code *} stands for any characters, {@code ?} for one; a plain module name also matches what is inside. */
public record Glob(String text) {
    /** Whether the name, or a module that holds it, matches. */
    public boolean matches(String name) {
        StringBuilder regex = new StringBuilder();
        for (char c : text.toCharArray()) {
            regex.append(c == '*' ? ".*" : c == '?' ? "." : Pattern.quote(String.valueOf(c)));
        }
        return Pattern.compile(regex + "(\\..*)?").matcher(name).matches();
    }

    /**
     * The names that match.
     *
     * @throws IllegalArgumentException if none does: a pattern without effect is a mistake
     */
    public List<String> select(List<String> names, String where) {
        List<String> chosen = names.stream().filter(this::matches).toList();
        if (chosen.isEmpty()) {
            throw new IllegalArgumentException(where + ": the pattern " + text + " matches none of the " + names.size()
                    + " parameters; the first are " + names.subList(0, Math.min(3, names.size())));
        }
        return chosen;
    }
}
