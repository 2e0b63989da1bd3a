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
            "partial", Set.of("from", "train"), "gradual", Set.of("every", "patience"),
            "lora", Set.of("r", "alpha", "targets", "rslora", "dropout", "train", "every", "patience"));
    private static final int RANK = 8;

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
            throw new IllegalArgumentException("no strategy " + name + suggestion(name, KNOWN.keySet()) + "; known are " + String.join(", ", KNOWN.keySet().stream().sorted().toList()));
        }
        Map<String, String> given = settings(text, colon < 0 ? "" : text.substring(colon + 1), keys);
        return switch (name) {
            case "scratch" -> new Method.Scratch();
            case "head" -> new Method.Head();
            case "full" -> new Method.Full();
            case "gradual" -> new Method.Gradual(whole(text, given, "every"), whole(text, given, "patience"));
            case "lora" -> lora(text, given);
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
        return new Method.PartialTrain(globs(given.get("train")));
    }

    private static Method lora(String text, Map<String, String> given) {
        int rank = given.containsKey("r") ? whole(text, given, "r") : RANK;
        double stabilised = number(text, given, "rslora", 0);
        if (stabilised != 0 && stabilised != 1) {
            throw new IllegalArgumentException("strategy " + text + ": rslora is " + given.get("rslora") + ", expected 0 or 1");
        }
        boolean staged = given.containsKey("every") || given.containsKey("patience");
        return new LowRankAdaptation(rank, number(text, given, "alpha", 2.0 * rank), stabilised == 1, number(text, given, "dropout", 0),
                LowRankTarget.parseAll(given.getOrDefault("targets", "*")), given.containsKey("train") ? globs(given.get("train")) : List.of(),
                staged ? new Method.Gradual(whole(text, given, "every"), whole(text, given, "patience")) : null);
    }

    private static List<Glob> globs(String joined) {
        return Arrays.stream(joined.split("\\+")).map(Glob::new).toList();
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

    private static double number(String text, Map<String, String> given, String key, double otherwise) {
        try {
            return given.containsKey(key) ? Double.parseDouble(given.get(key)) : otherwise;
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("strategy " + text + ": " + key + " is no number: " + given.get(key), e);
        }
    }

    private static String suggestion(String name, Set<String> known) {
        String nearest = NearestName.of(name, known);
        return nearest == null ? "" : ", did you mean " + nearest + "?";
    }
}
