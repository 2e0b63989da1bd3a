package dev.graft.weights;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads the header of a safetensors file: eight bytes with its length, a JSON object, then the data, which the tensors
 * must cover without gap or overlap. Source: the format section of the safetensors README.
 */
final class SafetensorsHeader {
    static final String METADATA = "__metadata__";
    /** Longest header the format allows. */
    static final long LONGEST = 100_000_000;

    private static final int MOST_TENSORS = 500_000;
    private static final int MOST_AXES = 64;

    private final FileBytes file;
    private final Path path;
    private final JsonParser json;
    private final long dataStart;
    private final Map<String, String> metadata = new LinkedHashMap<>();
    private final List<StoredTensor> tensors = new ArrayList<>();

    private SafetensorsHeader(FileBytes file, JsonParser json, long dataStart) {
        this.file = file;
        this.path = file.path();
        this.json = json;
        this.dataStart = dataStart;
    }

    static FileContents read(FileBytes file) {
        Path path = file.path();
        if (file.size() < 8) {
            throw new WeightsException(path + ": " + file.size() + " bytes are too few for a safetensors file");
        }
        long length = file.bytes(0, 8).getLong();
        if (length < 2 || length > LONGEST) {
            throw new WeightsException(path + ": the safetensors header claims " + Long.toUnsignedString(length)
                    + " bytes, expected 2 to " + LONGEST);
        }
        if (length > file.size() - 8) {
            throw new WeightsException(path + ": truncated: the header has " + length + " bytes, the file ends after "
                    + (file.size() - 8) + " of them");
        }
        byte[] text = file.bytes(8, (int) length).array();
        if (text[0] != '{') {
            throw new WeightsException(path + ": not a safetensors file: the header does not begin with {");
        }
        try (JsonParser json = StrictJson.MAPPER.createParser(text)) {
            return new SafetensorsHeader(file, json, 8 + length).parse();
        } catch (JsonProcessingException e) {
            throw new WeightsException(path + ": the safetensors header is not valid JSON: "
                    + Messages.oneLine(String.valueOf(e.getOriginalMessage())), e);
        } catch (IOException e) {
            throw Messages.unreadable(path, e);
        }
    }

    private FileContents parse() throws IOException {
        json.nextToken();
        while (json.nextToken() != JsonToken.END_OBJECT) {
            String name = json.currentName();
            json.nextToken();
            if (name.equals(METADATA)) {
                metadata();
            } else if (tensors.size() == MOST_TENSORS) {
                throw new WeightsException(path + ": more than " + MOST_TENSORS + " tensors");
            } else {
                tensors.add(tensor(name));
            }
        }
        if (json.nextToken() != null) {
            throw new WeightsException(path + ": the safetensors header goes on after its closing }");
        }
        checkCover();
        return new FileContents("safetensors", tensors, metadata, "", List.of());
    }

    private void metadata() throws IOException {
        expect(json.currentToken() == JsonToken.START_OBJECT, METADATA, "is not an object");
        while (json.nextToken() != JsonToken.END_OBJECT) {
            String key = json.currentName();
            expect(json.nextToken() == JsonToken.VALUE_STRING, METADATA, "has a value that is not a string");
            metadata.put(key, json.getText());
        }
    }

    private StoredTensor tensor(String name) throws IOException {
        expect(json.currentToken() == JsonToken.START_OBJECT, name, "is not described by an object");
        Dtype dtype = null;
        long[] dims = null;
        long[] range = null;
        while (json.nextToken() != JsonToken.END_OBJECT) {
            String key = json.currentName();
            json.nextToken();
            switch (key) {
                case "dtype" -> {
                    expect(json.currentToken() == JsonToken.VALUE_STRING, name, "has a dtype that is not a string");
                    dtype = Dtype.named(json.getText());
                    expect(dtype != null, name, "has the unsupported dtype " + Messages.quoted(json.getText()));
                }
                case "shape" -> dims = wholes(name, "shape", MOST_AXES);
                case "data_offsets" -> range = wholes(name, "data_offsets", 2);
                default -> expect(false, name, "has the unknown key " + Messages.quoted(key));
            }
        }
        expect(dtype != null && dims != null && range != null, name, "lacks one of dtype, shape, data_offsets");
        expect(range.length == 2 && range[0] <= range[1], name, "has data_offsets that are no range");
        expect(range[1] <= file.size() - dataStart, name, "ends at byte " + range[1] + " of the data, the file has "
                + (file.size() - dataStart) + " (truncated?)");
        long bytes = bytes(name, dtype, dims);
        expect(bytes == range[1] - range[0], name, "needs " + bytes + " bytes by its dtype and shape, its data_offsets span "
                + (range[1] - range[0]));
        return StoredTensor.contiguous(name, dtype, dims, path, dataStart + range[0]);
    }

    private long bytes(String name, Dtype dtype, long[] dims) {
        try {
            long bytes = dtype.bytes();
            for (long dim : dims) {
                bytes = Math.multiplyExact(bytes, dim);
            }
            return bytes;
        } catch (ArithmeticException e) {
            throw new WeightsException(path + ": tensor " + Messages.quoted(name) + " has a shape that overflows", e);
        }
    }

    private long[] wholes(String name, String key, int most) throws IOException {
        expect(json.currentToken() == JsonToken.START_ARRAY, name, "has a " + key + " that is not an array");
        long[] values = new long[most];
        int count = 0;
        while (json.nextToken() != JsonToken.END_ARRAY) {
            expect(count < most, name, "has more than " + most + " numbers in " + key);
            boolean whole = json.currentToken() == JsonToken.VALUE_NUMBER_INT
                    && json.getNumberType() != JsonParser.NumberType.BIG_INTEGER && json.getLongValue() >= 0;
            expect(whole, name, "has a number in " + key + " that is no size: " + Messages.oneLine(json.getText()));
            values[count++] = json.getLongValue();
        }
        return Arrays.copyOf(values, count);
    }

    /** The format forbids holes and overlaps: sorted by offset, each tensor begins where the one before ended. */
    private void checkCover() {
        List<StoredTensor> sorted = new ArrayList<>(tensors);
        sorted.sort(Comparator.comparingLong(StoredTensor::offset).thenComparingLong(StoredTensor::length));
        long end = dataStart;
        for (StoredTensor tensor : sorted) {
            expect(tensor.offset() >= end, tensor.name(), "overlaps the tensor before it");
            expect(tensor.offset() == end, tensor.name(), "leaves a gap of " + (tensor.offset() - end) + " bytes before it");
            end += tensor.length();
        }
        if (end != file.size()) {
            throw new WeightsException(path + ": " + (file.size() - end) + " bytes after the last tensor belong to none");
        }
    }

    private void expect(boolean condition, String name, String problem) {
        if (!condition) {
            String subject = name.equals(METADATA) ? METADATA : "tensor " + Messages.quoted(name);
            throw new WeightsException(path + ": " + subject + " " + problem);
        }
    }
}
