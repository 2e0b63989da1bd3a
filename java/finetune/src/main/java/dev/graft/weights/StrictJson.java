package dev.graft.weights;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The JSON mapper of this package; an object with a key twice is an error, as the safetensors format demands. Thread-safe. */
final class StrictJson {
    static final ObjectMapper MAPPER = JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

    private StrictJson() {
    }

    /**
     * A file of at most so many bytes.
     *
     * @throws WeightsException if it is longer, cannot be read or is not JSON
     */
    static JsonNode read(Path file, long most) {
        try {
            long size = Files.size(file);
            if (size > most) {
                throw new WeightsException(file + ": " + size + " bytes, expected a description of at most " + most);
            }
            return parse(Files.readString(file), file.toString());
        } catch (IOException e) {
            throw Messages.unreadable(file, e);
        }
    }

    /** A text; {@code where} stands in the message if it is not JSON. */
    static JsonNode parse(String text, String where) {
        try {
            return MAPPER.readTree(text);
        } catch (JsonProcessingException e) {
            throw new WeightsException(where + ": not JSON: " + Messages.oneLine(e.getOriginalMessage()), e);
        }
    }
}
