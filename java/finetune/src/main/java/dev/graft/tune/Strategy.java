package dev.graft.tune;

import dev.graft.weights.NearestName;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Reads a method from the command's grammar: {@code NAME[:key=value,...]}, lists joined by {@code +}. */
public final class Strategy {
    private static final Map<String, Set<String>> KNOWN = Map.of("scratch", Set.of(), "head", Set.of(), "full", Set.of(),
            "partial", Set.of("from", "train"), "gradual", Set.of("every", "patience"));

    private Strategy() {
    }

    /**
     * @throws IllegalArgumentException one line naming the part that is unknown, with the nearest name
     */
    public static Method parse(String text) {
        int colon = text.indexOf(':');
        String name = colon < 0 ? text : text.substring(0, colon);
        Set<String> keys = KNOWN.get(name);
        if (keys == null) {
            throw new IllegalArgumentException("no strategy " + name + suggestion(name, KNOWN.keySet()) + "; known are full, gradual, head, partial, scratch");
        }
        Map<String, String> given = settings(text, colon < 0 ? "" : text.substring(colon + 1), keys);
        return switch (name) {
            case "scratch" -> new Method.Scratch();
            case "head" -> new Method.Head();
            case "full" -> new Method.Full();
            case "gradual" -> new Method.Gradual(whole(text, given, "every"), whole(text, given, "patience"));
            default -> partial(text, given);
        };
    }

    private static Method partial(String text, Map<String, String> given) {
        if (given.size() != 1) {
            throw new IllegalArgumentException("strategy " + text + ": give from=GROUP or train=PATTERN+PATTERN");
        }
        if (given.containsKey("from")) {
            return new Method.PartialFrom(given.get("from"));
        }
        List<Glob> patterns = Arrays.stream(given.get("train").split("\\+")).map(Glob::new).toList();
        return new Method.PartialTrain(patterns);
    }

    private static Map<String, String> settings(String text, String source, Set<String> keys) {
        Map<String, String> given = new LinkedHashMap<>();
        if (source.isEmpty()) {
            return given;
        }
        for (String pair : source.split(",")) {
            int equals = pair.indexOf('=');
            String key = equals < 0 ? pair : pair.substring(0, equals);
            if (equals <= 0 || equals == pair.length() - 1) {
                throw new IllegalArgumentException("strategy " + text + ": expected key=value, got " + pair);
            }
            if (!keys.contains(key)) {
                throw new IllegalArgumentException("strategy " + text + ": no setting " + key + suggestion(key, keys)
                        + (keys.isEmpty() ? "; it takes none" : "; known are " + String.join(", ", keys.stream().sorted().toList())));
            }
            if (given.put(key, pair.substring(equals + 1)) != null) {
                throw new IllegalArgumentException("strategy " + text + ": " + key + " is given twice");
            }
        }
        return given;
    }

    private static int whole(String text, Map<String, String> given, String key) {
        if (!given.containsKey(key)) {
            return 0;
        }
        try {
            return Integer.parseInt(given.get(key));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("strategy " + text + ": " + key + " is no whole number: " + given.get(key), e);
        }
    }

    private static String suggestion(String name, Set<String> known) {
        String nearest = NearestName.of(name, known);
        return nearest == null ? "" : ", did you mean " + nearest + "?";
    }
}
