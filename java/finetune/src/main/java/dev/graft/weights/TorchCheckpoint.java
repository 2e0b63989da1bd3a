package dev.graft.weights;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Finds the state dict in what a checkpoint's pickle describes: at the top level, or in a training checkpoint under one of
 * the usual keys. Everything else in the file is listed.
 */
final class TorchCheckpoint {
    /** Keys under which training scripts save weights, the first one present is taken. */
    private static final List<String> KEYS = List.of("state_dict", "model_state_dict", "model_state", "model", "net", "network",
            "module", "params", "weights");

    /** Where the bytes of a storage are. */
    interface Places {
        /** Byte of the file at which the whole storage begins; checks that all of its elements are there. */
        long begin(TorchStorage storage);
    }

    private final Path path;
    private final List<String> others = new ArrayList<>();

    private TorchCheckpoint(Path path) {
        this.path = path;
    }

    static FileContents contents(Path path, String format, Object root, Places places) {
        return new TorchCheckpoint(path).find(format, root, places);
    }

    private FileContents find(String format, Object root, Places places) {
        if (root instanceof TorchTensor) {
            throw new WeightsException(path + ": a single tensor without a name, expected a state dict");
        }
        if (!(root instanceof PickleDict top)) {
            throw new WeightsException(path + ": expected a dictionary of tensors, the file holds a " + PickleText.describe(root));
        }
        String key = "";
        PickleDict state = top;
        for (int depth = 0; depth < 2; depth++) {
            String inner = stateKey(state);
            if (inner == null) {
                break;
            }
            listOthers(state, key, inner);
            state = (PickleDict) state.entries.get(inner);
            key = key.isEmpty() ? inner : key + "." + inner;
        }
        Map<String, TorchTensor> found = new LinkedHashMap<>();
        state.entries.forEach((name, value) -> {
            if (name instanceof String text && value instanceof TorchTensor tensor) {
                found.put(text, tensor);
            }
        });
        listOthers(state, key, null);
        if (found.isEmpty()) {
            throw new WeightsException(path + ": no state dict in this file; it holds "
                    + (others.isEmpty() ? "nothing" : Messages.oneLine(String.join(", ", others))));
        }
        List<StoredTensor> tensors = new ArrayList<>();
        found.forEach((name, tensor) -> tensors.add(stored(name, tensor, places)));
        return new FileContents(format, tensors, Map.of(), key, others);
    }

    /** The key of the dictionary that holds the weights, or null if the weights are in this one itself. */
    private String stateKey(PickleDict dict) {
        for (String key : KEYS) {
            if (holdsWeights(dict.entries.get(key))) {
                return key;
            }
        }
        if (dict.entries.values().stream().anyMatch(TorchTensor.class::isInstance)) {
            return null;
        }
        List<String> candidates = new ArrayList<>();
        dict.entries.forEach((key, value) -> {
            if (key instanceof String text && tensorsIn(value)) {
                candidates.add(text);
            }
        });
        if (candidates.size() > 1) {
            throw new WeightsException(path + ": several state dicts in this file: " + Messages.some(candidates, 5)
                    + "; save the one you mean on its own");
        }
        return candidates.isEmpty() ? null : candidates.get(0);
    }

    private static boolean holdsWeights(Object value) {
        if (tensorsIn(value)) {
            return true;
        }
        return value instanceof PickleDict dict && KEYS.stream().anyMatch(key -> tensorsIn(dict.entries.get(key)));
    }

    private static boolean tensorsIn(Object value) {
        return value instanceof PickleDict dict && dict.entries.entrySet().stream()
                .anyMatch(e -> e.getKey() instanceof String && e.getValue() instanceof TorchTensor);
    }

    private void listOthers(PickleDict dict, String path, String except) {
        dict.entries.forEach((key, value) -> {
            boolean weight = except == null && key instanceof String && value instanceof TorchTensor;
            if (!weight && !(key instanceof String text && text.equals(except))) {
                String name = key instanceof String text ? Messages.oneLine(text) : PickleText.describe(key);
                String described = PickleText.describe(value);
                boolean scalar = value instanceof Number || value instanceof String || value instanceof Boolean;
                others.add((path.isEmpty() ? "" : path + ".") + name + (scalar ? " = " + described : " (" + described + ")"));
            }
        });
    }

    private StoredTensor stored(String name, TorchTensor tensor, Places places) {
        long begin;
        try {
            begin = places.begin(tensor.storage());
        } catch (WeightsException e) {
            throw new WeightsException(e.getMessage() + " (tensor " + Messages.quoted(name) + ")", e);
        }
        return new StoredTensor(name, tensor.dtype(), tensor.dims(), path, begin + tensor.offset() * tensor.dtype().bytes(),
                tensor.length(), tensor.strides());
    }
}
