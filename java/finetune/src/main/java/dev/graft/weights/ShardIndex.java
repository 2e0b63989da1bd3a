package dev.graft.weights;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;

/**
 * An index of shards as Hugging Face writes it: {@code {"metadata": {...}, "weight_map": {tensor: file, ...}}}, the files
 * lying beside the index.
 */
final class ShardIndex {
    private static final long LONGEST = 25_000_000;

    private ShardIndex() {
    }

    /**
     * Reads the index and every shard it names.
     *
     * @param readShard opens a shard and lists it
     */
    static FileContents read(FileBytes index, Function<Path, FileContents> readShard) {
        Path path = index.path();
        Map<String, String> fileOf = weightMap(index);
        Map<String, StoredTensor> found = new HashMap<>();
        List<String> others = new ArrayList<>();
        Map<String, String> metadata = new TreeMap<>();
        String format = "";
        for (String shard : new TreeSet<>(fileOf.values())) {
            Path shardPath = path.resolveSibling(shard);
            if (!Files.isRegularFile(shardPath)) {
                throw new WeightsException(path + ": the shard " + Messages.quoted(shard) + " is not there");
            }
            FileContents contents = readShard.apply(shardPath);
            format = contents.format();
            metadata.putAll(contents.metadata());
            for (StoredTensor tensor : contents.tensors()) {
                if (shard.equals(fileOf.get(tensor.name()))) {
                    found.put(tensor.name(), tensor);
                } else {
                    others.add("tensor " + Messages.quoted(tensor.name()) + " of " + shard + ", which the index does not place there");
                }
            }
        }
        List<StoredTensor> tensors = new ArrayList<>();
        fileOf.forEach((name, shard) -> {
            StoredTensor tensor = found.get(name);
            if (tensor == null) {
                throw new WeightsException(path + ": tensor " + Messages.quoted(name) + " is not in its shard " + shard);
            }
            tensors.add(tensor);
        });
        return new FileContents("sharded " + format, tensors, metadata, "", others);
    }

    private static Map<String, String> weightMap(FileBytes index) {
        Path path = index.path();
        if (index.size() > LONGEST) {
            throw new WeightsException(path + ": " + index.size() + " bytes are too many for an index, at most " + LONGEST);
        }
        JsonNode map;
        try {
            JsonNode root = StrictJson.MAPPER.readTree(index.bytes(0, (int) index.size()).array());
            map = root == null ? null : root.get("weight_map");
        } catch (JsonProcessingException e) {
            throw new WeightsException(path + ": not valid JSON: " + Messages.oneLine(String.valueOf(e.getOriginalMessage())), e);
        } catch (IOException e) {
            throw Messages.unreadable(path, e);
        }
        if (map == null || !map.isObject() || map.isEmpty()) {
            throw new WeightsException(path + ": not an index of weights: it has no \"weight_map\" with entries");
        }
        Map<String, String> fileOf = new LinkedHashMap<>();
        map.properties().forEach(entry -> {
            String shard = entry.getValue().textValue();
            boolean plain = shard != null && !shard.isEmpty() && !shard.equals(".") && !shard.equals("..")
                    && shard.chars().noneMatch(c -> c == '/' || c == '\\' || c == ':' || c < ' ');
            if (!plain) {
                throw new WeightsException(path + ": tensor " + Messages.quoted(entry.getKey())
                        + " is placed in " + Messages.quoted(entry.getValue().toString()) + ", expected the name of a file beside the index");
            }
            fileOf.put(entry.getKey(), shard);
        });
        return fileOf;
    }
}
