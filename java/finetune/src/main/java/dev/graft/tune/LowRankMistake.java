package dev.graft.tune;

import dev.graft.engine.Node;
import dev.graft.model.Network;
import dev.graft.weights.NearestName;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** What to say of a target without effect: the kind of what it matches, or the nearest name. */
final class LowRankMistake {
    private LowRankMistake() {
    }

    /**
     * @param matching modules that the target matches, none of which can be adapted
     * @param modules all that have a weight, with the nodes that read it
     */
    static IllegalArgumentException of(LowRankTarget target, List<String> matching, Map<String, Node> modules, Network network) {
        String start = "lora: target " + target.text();
        List<String> products = matching.stream().filter(m -> LowRankAdaptation.product(modules.get(m))).toList();
        if (!products.isEmpty()) {
            return new IllegalArgumentException(start + " matches only " + String.join(", ", products) + " of the head, which trains whole");
        }
        if (!matching.isEmpty()) {
            String first = matching.get(0);
            return new IllegalArgumentException(start + " matches " + first + ", a " + modules.get(first).op()
                    + "; linear layers and convolutions can be adapted");
        }
        List<String> layers = modules.keySet().stream().filter(m -> LowRankAdaptation.product(modules.get(m))).toList();
        String nearest = nearest(target.pattern().text(), layers);
        Set<String> ends = new TreeSet<>(layers.stream().map(LowRankMistake::end).toList());
        return new IllegalArgumentException(start + " matches no layer of " + network.name()
                + (nearest == null ? "; its linear layers and convolutions end in " + String.join(", ", ends) : ", did you mean " + nearest + "?"));
    }

    // Of whole names, or with the last part of the pattern exchanged for a layer's last part.
    private static String nearest(String pattern, List<String> layers) {
        String whole = NearestName.of(pattern, layers);
        if (whole != null) {
            return whole;
        }
        String end = NearestName.of(end(pattern), new TreeSet<>(layers.stream().map(LowRankMistake::end).toList()));
        return end == null ? null : pattern.substring(0, pattern.length() - end(pattern).length()) + end;
    }

    private static String end(String module) {
        return module.substring(module.lastIndexOf('.') + 1);
    }
}
