package dev.graft.weights;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/** The fields of an {@code adapter_config.json}, with one clear message for each that is not what it should be. */
final class PeftFields {
    private final JsonNode json;
    private final String where;

    PeftFields(JsonNode json, String where) {
        this.json = json;
        this.where = where;
        if (!json.isObject()) {
            throw new WeightsException(where + ": expected a JSON object");
        }
    }

    /** The kind of the adapter. */
    void type(String expected) {
        require(expected.equals(json.path("peft_type").textValue()), "peft_type", Messages.quoted(expected));
    }

    /** None of these may have a value. */
    void refuse(List<String> keys) {
        for (String key : keys) {
            require(!active(key), key, "it off: this build does not compute it");
        }
    }

    /** Whether it is there and neither null, false nor empty. */
    boolean active(String key) {
        JsonNode value = json.path(key);
        boolean empty = value.isMissingNode() || value.isNull() || value.isContainerNode() && value.isEmpty()
                || value.isTextual() && value.textValue().isEmpty() || value.isBoolean() && !value.booleanValue();
        return !empty;
    }

    /** Keys in neither set that have a value, in the order of the file. */
    List<String> activeBeside(Set<String> read, Set<String> withoutEffect) {
        List<String> keys = new ArrayList<>();
        json.fieldNames().forEachRemaining(key -> {
            if (!read.contains(key) && !withoutEffect.contains(key) && active(key)) {
                keys.add(key);
            }
        });
        return keys;
    }

    int whole(String key) {
        return whole(json.path(key), key);
    }

    double number(String key) {
        return number(json.path(key), key);
    }

    boolean flag(String key) {
        JsonNode value = json.path(key);
        require(value.isMissingNode() || value.isNull() || value.isBoolean(), key, "true or false");
        return value.booleanValue();
    }

    /** Null where it is absent or null. */
    String text(String key) {
        JsonNode value = json.path(key);
        require(value.isMissingNode() || value.isNull() || value.isTextual(), key, "a text");
        return value.textValue();
    }

    /** Empty where it is absent or null. */
    List<String> texts(String key) {
        JsonNode value = json.path(key);
        require(value.isMissingNode() || value.isNull() || value.isArray(), key, "an array of texts");
        List<String> texts = new ArrayList<>();
        for (JsonNode item : value) {
            require(item.isTextual() && !item.textValue().isEmpty(), key, "an array of texts");
            texts.add(item.textValue());
        }
        return texts;
    }

    Map<String, Integer> wholes(String key) {
        return map(key, value -> whole(value, key));
    }

    Map<String, Double> numbers(String key) {
        return map(key, value -> number(value, key));
    }

    void require(boolean holds, String key, String expected) {
        if (!holds) {
            JsonNode value = json.path(key);
            throw new WeightsException(where + ": " + key + " is "
                    + (value.isMissingNode() ? "not there" : Messages.oneLine(value.toString())) + ", expected " + expected);
        }
    }

    /** A number as Python writes it: without a fraction where it has none. */
    static void put(ObjectNode json, String key, double number) {
        if (number == Math.rint(number) && Math.abs(number) < Integer.MAX_VALUE) {
            json.put(key, (int) number);
        } else {
            json.put(key, number);
        }
    }

    private int whole(JsonNode value, String key) {
        require(value.isIntegralNumber() && value.canConvertToInt(), key, "whole numbers");
        return value.intValue();
    }

    private double number(JsonNode value, String key) {
        require(value.isNumber() && Double.isFinite(value.doubleValue()), key, "finite numbers");
        return value.doubleValue();
    }

    private <T> Map<String, T> map(String key, Function<JsonNode, T> read) {
        JsonNode value = json.path(key);
        require(value.isMissingNode() || value.isNull() || value.isObject(), key, "an object");
        Map<String, T> map = new LinkedHashMap<>();
        value.properties().forEach(e -> {
            ModulePattern.end(e.getKey(), where + ": " + key);
            map.put(e.getKey(), read.apply(e.getValue()));
        });
        return map;
    }
}
