package dev.graft.weights;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.function.Predicate;

/**
 * What {@code bundle.json} says of a result.
 *
 * @param graft version of Graft that made it
 * @param model name of the network
 * @param classes class names in label order
 * @param card preprocessing; its crop is the network's image size
 * @param source the weights it began with; null for a run from scratch
 * @param run what the run tells of itself: method, options, history, results
 */
public record BundleDescription(String graft, String model, List<String> classes, Card card, Source source, ObjectNode run) {
    /** Version of the folder's format. */
    public static final int FORMAT = 1;

    /**
     * A weight file.
     *
     * @param file its path as it was given
     * @param sha256 of its bytes (of an index, where there are several files) in hex digits
     */
    public record Source(String file, String sha256) {
        /** Checks that both are there. */
        public Source {
            Objects.requireNonNull(file, "file");
            Objects.requireNonNull(sha256, "sha256");
        }
    }

    /** Checks that everything is there; lists and JSON are copied. */
    public BundleDescription {
        Objects.requireNonNull(graft, "graft");
        Objects.requireNonNull(model, "model");
        Objects.requireNonNull(card, "card");
        classes = List.copyOf(classes);
        run = run.deepCopy();
        if (classes.isEmpty() || new HashSet<>(classes).size() != classes.size()) {
            throw new IllegalArgumentException("class names are " + classes + ", expected one or more, each once");
        }
    }

    /** The content of {@code bundle.json}, without the entry for its weights. */
    ObjectNode toJson() {
        ObjectNode json = StrictJson.MAPPER.createObjectNode();
        json.put("format", FORMAT).put("graft", graft).put("model", model);
        ArrayNode names = json.putArray("classes");
        classes.forEach(names::add);
        json.set("card", card.toJsonObject());
        if (source == null) {
            json.putNull("source");
        } else {
            json.putObject("source").put("file", source.file()).put("sha256", source.sha256());
        }
        json.set("run", run.deepCopy());
        return json;
    }

    /** Reads what {@link #toJson} wrote. */
    static BundleDescription of(JsonNode json, String where) {
        if (!json.isObject() || !json.path("format").isIntegralNumber()) {
            throw new WeightsException(where + ": not the description of a bundle: it has no whole number named format");
        }
        if (json.get("format").asLong() != FORMAT) {
            throw new WeightsException(where + ": the bundle has format " + json.get("format") + ", this build reads format " + FORMAT);
        }
        List<String> classes = new ArrayList<>();
        for (JsonNode name : required(json, "classes", JsonNode::isArray, "an array of texts", where)) {
            if (!name.isTextual()) {
                throw new WeightsException(where + ": classes holds " + Messages.quoted(name.toString()) + ", expected an array of texts");
            }
            classes.add(name.textValue());
        }
        JsonNode cardNode = required(json, "card", JsonNode::isObject, "an object", where);
        Card card = CardKeys.parse(cardNode.toString(), where + ", card").card(cardNode.path("origin").asText(where));
        JsonNode from = json.path("source");
        Source source = from.isObject() ? new Source(text(from, "file", where), text(from, "sha256", where)) : null;
        try {
            return new BundleDescription(text(json, "graft", where), text(json, "model", where), classes, card, source,
                    (ObjectNode) required(json, "run", JsonNode::isObject, "an object", where));
        } catch (IllegalArgumentException e) {
            throw new WeightsException(where + ": " + e.getMessage(), e);
        }
    }

    static JsonNode required(JsonNode json, String key, Predicate<JsonNode> right, String expected, String where) {
        JsonNode value = json.path(key);
        if (!right.test(value)) {
            throw new WeightsException(where + ": " + key + " is "
                    + (value.isMissingNode() ? "not there" : Messages.quoted(value.toString())) + ", expected " + expected);
        }
        return value;
    }

    private static String text(JsonNode json, String key, String where) {
        return required(json, key, JsonNode::isTextual, "a text", where).textValue();
    }
}
