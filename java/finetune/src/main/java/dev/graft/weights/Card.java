package dev.graft.weights;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

import java.util.Arrays;
import java.util.Locale;
import java.util.Objects;

/**
 * The preprocessing that a network expects of a picture: resize the short side to {@code resize} pixels (0: leave the
 * size as it is), cut the centre {@code crop} x {@code crop}, {@code (pixel / 255 - mean) / std} per channel, then order the
 * channels.
 *
 * @param resize        short side in pixels after resizing, at least {@code crop}; 0 for no resizing
 * @param crop          side of the square input in pixels
 * @param mean          three values (red, green, blue) in the pixel / 255 convention
 * @param std           three positive values in the same order and convention
 * @param interpolation filter of the resize
 * @param channels      order in which the network takes the channels
 * @param origin        where the values come from, in words; printed and stored with a result
 */
public record Card(int resize, int crop, float[] mean, float[] std, Interpolation interpolation, ChannelOrder channels,
                   String origin) {
    /** Key under which {@link #toJson()} stands in the metadata of a safetensors file. */
    public static final String METADATA_KEY = "graft.card";

    private static final int LARGEST_SIDE = 16384;

    /** Checks the ranges; the arrays are copied. */
    public Card {
        mean = three("mean", mean);
        std = three("std", std);
        Objects.requireNonNull(interpolation, "interpolation");
        Objects.requireNonNull(channels, "channels");
        Objects.requireNonNull(origin, "origin");
        if (crop < 1 || crop > LARGEST_SIDE) {
            throw new IllegalArgumentException("crop is " + crop + ", expected 1 to " + LARGEST_SIDE + " pixels");
        }
        if (resize != 0 && (resize < crop || resize > LARGEST_SIDE)) {
            throw new IllegalArgumentException("resize is " + resize + ", expected 0 (none) or " + crop + " (the crop) to "
                    + LARGEST_SIDE + " pixels");
        }
        for (float deviation : std) {
            if (!(deviation > 0)) {
                throw new IllegalArgumentException("std is " + Arrays.toString(std) + ", expected positive values");
            }
        }
    }

    /** ImageNet's usual card: short side 256, crop 224, bilinear, RGB, torchvision's mean and deviation. */
    public static Card imageNet(String origin) {
        return new Card(256, 224, new float[] {.485f, .456f, .406f}, new float[] {.229f, .224f, .225f},
                Interpolation.BILINEAR, ChannelOrder.RGB, origin);
    }

    /** A copy: red, green, blue. */
    @Override
    public float[] mean() {
        return mean.clone();
    }

    /** A copy: red, green, blue. */
    @Override
    public float[] std() {
        return std.clone();
    }

    /** This card with the given keys in place of its own; {@code from} names where they come from. Null keys stay. */
    public Card with(CardKeys keys, String from) {
        if (keys.isEmpty()) {
            return this;
        }
        String now = keys.isComplete() ? from : from + " (" + String.join(", ", keys.names()) + "), else " + origin;
        return new Card(keys.resize() == null ? resize : keys.resize(), keys.crop() == null ? crop : keys.crop(),
                keys.mean() == null ? mean : keys.mean(), keys.std() == null ? std : keys.std(),
                keys.interpolation() == null ? interpolation : keys.interpolation(),
                keys.channels() == null ? channels : keys.channels(), now);
    }

    /** This card as a JSON object with the keys resize, crop, mean, std, interpolation, channels and origin. */
    public String toJson() {
        return toJsonObject().toString();
    }

    ObjectNode toJsonObject() {
        ObjectNode json = StrictJson.MAPPER.createObjectNode();
        json.put("resize", resize).put("crop", crop);
        ArrayNode means = json.putArray("mean");
        ArrayNode deviations = json.putArray("std");
        for (int channel = 0; channel < 3; channel++) {
            means.add(mean[channel]);
            deviations.add(std[channel]);
        }
        json.put("interpolation", lower(interpolation)).put("channels", lower(channels)).put("origin", origin);
        return json;
    }

    /** One line: {@code short side 256, crop 224, bilinear, rgb, mean ..., std ... (origin)}. */
    @Override
    public String toString() {
        return (resize == 0 ? "not resized" : "short side " + resize) + ", crop " + crop + ", " + lower(interpolation) + ", "
                + lower(channels) + ", mean " + Arrays.toString(mean) + ", std " + Arrays.toString(std) + " (" + origin + ")";
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Card card && resize == card.resize && crop == card.crop && Arrays.equals(mean, card.mean)
                && Arrays.equals(std, card.std) && interpolation == card.interpolation && channels == card.channels
                && origin.equals(card.origin);
    }

    @Override
    public int hashCode() {
        return Objects.hash(resize, crop, Arrays.hashCode(mean), Arrays.hashCode(std), interpolation, channels, origin);
    }

    private static String lower(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT);
    }

    private static float[] three(String key, float[] values) {
        if (values == null || values.length != 3) {
            throw new IllegalArgumentException(key + " has " + (values == null ? 0 : values.length) + " values, expected 3");
        }
        for (float value : values) {
            if (!Float.isFinite(value)) {
                throw new IllegalArgumentException(key + " is " + Arrays.toString(values) + ", expected finite numbers");
            }
        }
        return values.clone();
    }
}
