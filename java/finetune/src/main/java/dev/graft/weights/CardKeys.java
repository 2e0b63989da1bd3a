package dev.graft.weights;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * Some or all keys of a {@link Card}, as options or a file give them; a null component was not given.
 * Value ranges are checked where the keys are put into a card.
 *
 * @param resize        short side in pixels, or 0 for no resizing
 * @param crop          side of the input in pixels
 * @param mean          three values in the pixel / 255 convention
 * @param std           three values in the same convention
 * @param interpolation filter of the resize
 * @param channels      channel order
 */
public record CardKeys(Integer resize, Integer crop, float[] mean, float[] std, Interpolation interpolation,
                       ChannelOrder channels) {
    /** No key given. */
    public static final CardKeys NONE = new CardKeys(null, null, null, null, null, null);

    private static final Set<String> KNOWN = Set.of("resize", "crop", "mean", "std", "interpolation", "channels", "origin");
    private static final long LARGEST_FILE = 1 << 20;

    /**
     * Reads a JSON object with any of the keys resize, crop, mean, std, interpolation, channels (origin is allowed and ignored).
     *
     * @param json  the text
     * @param where the file or place of the text, for messages
     * @throws WeightsException if it is no such object, or a key is unknown or of the wrong kind
     */
    public static CardKeys parse(String json, String where) {
        JsonNode node;
        try {
            node = StrictJson.MAPPER.readTree(json);
        } catch (JsonProcessingException e) {
            throw new WeightsException(where + ": not JSON: " + Messages.oneLine(e.getOriginalMessage()), e);
        }
        if (node == null || !node.isObject()) {
            throw new WeightsException(where + ": expected a JSON object with the keys resize, crop, mean, std, interpolation, channels");
        }
        for (Iterator<String> names = node.fieldNames(); names.hasNext(); ) {
            String name = names.next();
            if (!KNOWN.contains(name)) {
                throw new WeightsException(where + ": unknown key " + Messages.quoted(name)
                        + ", expected resize, crop, mean, std, interpolation or channels");
            }
        }
        return new CardKeys(whole(node, "resize", where), whole(node, "crop", where), numbers(node, "mean", where),
                numbers(node, "std", where), constant(node, "interpolation", Interpolation.values(), where),
                constant(node, "channels", ChannelOrder.values(), where));
    }

    /** {@link #parse} of a file. */
    public static CardKeys read(Path file) {
        try {
            long size = Files.size(file);
            if (size > LARGEST_FILE) {
                throw new WeightsException(file + ": " + size + " bytes are too many for a preprocessing file");
            }
            return parse(Files.readString(file), file.toString());
        } catch (IOException e) {
            throw Messages.unreadable(file, e);
        }
    }

    /** The card that these keys make alone. */
    public Card card(String origin) {
        if (!isComplete()) {
            List<String> missing = new ArrayList<>(List.of("resize", "crop", "mean", "std", "interpolation", "channels"));
            missing.removeAll(names());
            throw new WeightsException(origin + ": the preprocessing card has no " + String.join(", ", missing));
        }
        try {
            return new Card(resize, crop, mean, std, interpolation, channels, origin);
        } catch (IllegalArgumentException e) {
            throw new WeightsException(origin + ": " + e.getMessage(), e);
        }
    }

    /** Names of the given keys. */
    public List<String> names() {
        List<String> names = new ArrayList<>();
        Object[] values = {resize, crop, mean, std, interpolation, channels};
        String[] keys = {"resize", "crop", "mean", "std", "interpolation", "channels"};
        for (int i = 0; i < keys.length; i++) {
            if (values[i] != null) {
                names.add(keys[i]);
            }
        }
        return names;
    }

    /** Whether no key is given. */
    public boolean isEmpty() {
        return names().isEmpty();
    }

    /** Whether all keys are given. */
    public boolean isComplete() {
        return names().size() == 6;
    }

    private static Integer whole(JsonNode object, String key, String where) {
        JsonNode value = object.get(key);
        if (value == null) {
            return null;
        }
        if (!value.canConvertToInt() || !value.isIntegralNumber()) {
            throw new WeightsException(where + ": " + key + " is " + Messages.quoted(value.toString()) + ", expected a whole number");
        }
        return value.intValue();
    }

    private static float[] numbers(JsonNode object, String key, String where) {
        JsonNode value = object.get(key);
        if (value == null) {
            return null;
        }
        float[] numbers = new float[3];
        boolean right = value.isArray() && value.size() == 3;
        for (int i = 0; right && i < 3; i++) {
            right = value.get(i).isNumber();
            numbers[i] = value.get(i).floatValue();
        }
        if (!right) {
            throw new WeightsException(where + ": " + key + " is " + Messages.quoted(value.toString()) + ", expected three numbers");
        }
        return numbers;
    }

    private static <E extends Enum<E>> E constant(JsonNode object, String key, E[] constants, String where) {
        JsonNode value = object.get(key);
        if (value == null) {
            return null;
        }
        for (E constant : constants) {
            if (value.isTextual() && constant.name().equals(value.textValue().toUpperCase(Locale.ROOT))) {
                return constant;
            }
        }
        throw new WeightsException(where + ": " + key + " is " + Messages.quoted(value.toString()) + ", expected "
                + String.join(" or ", Arrays.stream(constants).map(c -> c.name().toLowerCase(Locale.ROOT)).toList()));
    }
}
