package dev.graft.golden;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.TreeSet;

/** A committed golden fixture: F64 and I64 tensors and the facts of the run. Formats: {@code src/test/fixtures/README.md}. */
public final class GoldenFile {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String path;
    private final JsonNode header;
    private final ByteBuffer data;

    private GoldenFile(String path, JsonNode header, ByteBuffer data) {
        this.path = path;
        this.header = header;
        this.data = data;
    }

    /** Opens {@code golden/PATH.safetensors} of the test resources. */
    public static GoldenFile open(String path) {
        String resource = "/golden/" + path + ".safetensors";
        try (InputStream in = GoldenFile.class.getResourceAsStream(resource)) {
            if (in == null) {
                throw new IllegalArgumentException("no test resource " + resource);
            }
            ByteBuffer bytes = ByteBuffer.wrap(in.readAllBytes()).order(ByteOrder.LITTLE_ENDIAN);
            byte[] text = new byte[Math.toIntExact(bytes.getLong())];
            bytes.get(text);
            JsonNode header = JSON.readTree(new String(text, StandardCharsets.UTF_8));
            return new GoldenFile(path, header, bytes.slice().order(ByteOrder.LITTLE_ENDIAN));
        } catch (IOException e) {
            throw new UncheckedIOException(resource, e);
        }
    }

    /** Names of the tensors. */
    public Set<String> names() {
        Set<String> names = new TreeSet<>();
        header.fieldNames().forEachRemaining(names::add);
        names.remove("__metadata__");
        return names;
    }

    /** Elements of a tensor, row-major; integers as doubles. */
    public double[] values(String name) {
        JsonNode tensor = tensor(name);
        int begin = tensor.get("data_offsets").get(0).intValue();
        double[] values = new double[(tensor.get("data_offsets").get(1).intValue() - begin) / Double.BYTES];
        String type = tensor.get("dtype").textValue();
        boolean whole = type.equals("I64");
        if (!whole && !type.equals("F64")) {
            throw new IllegalArgumentException(path + ": " + name + " is " + type + ", expected F64 or I64");
        }
        for (int i = 0; i < values.length; i++) {
            int at = begin + i * Double.BYTES;
            values[i] = whole ? data.getLong(at) : data.getDouble(at);
        }
        return values;
    }

    /** Sizes of a tensor. */
    public long[] dims(String name) {
        JsonNode shape = tensor(name).get("shape");
        long[] dims = new long[shape.size()];
        for (int i = 0; i < dims.length; i++) {
            dims[i] = shape.get(i).longValue();
        }
        return dims;
    }

    /** A fact that is text. */
    public String text(String key) {
        JsonNode value = header.path("__metadata__").get(key);
        if (value == null) {
            throw new IllegalArgumentException(path + " says nothing about " + key);
        }
        return value.textValue();
    }

    /** A fact that is a number, a list or an object. */
    public JsonNode json(String key) {
        try {
            return JSON.readTree(text(key));
        } catch (IOException e) {
            throw new UncheckedIOException(path + ": " + key, e);
        }
    }

    private JsonNode tensor(String name) {
        JsonNode tensor = header.get(name);
        if (tensor == null) {
            throw new IllegalArgumentException(path + " has no tensor " + name);
        }
        return tensor;
    }
}
