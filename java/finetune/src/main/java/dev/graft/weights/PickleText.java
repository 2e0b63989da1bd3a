package dev.graft.weights;

import java.util.Arrays;
import java.util.List;

/** Values out of pickles in words, for messages and listings; looks at the outermost value only. */
final class PickleText {
    private PickleText() {
    }

    static String describe(Object value) {
        if (value == null) {
            return "None";
        }
        if (value instanceof String text) {
            return Messages.quoted(text);
        }
        if (value instanceof Boolean || value instanceof Number) {
            return value.toString();
        }
        if (value instanceof TorchTensor tensor) {
            return "tensor " + tensor.dtype() + " " + Arrays.toString(tensor.dims());
        }
        if (value instanceof PickleDict dict) {
            return "dictionary of " + dict.entries.size();
        }
        if (value instanceof List<?> list) {
            return "list of " + list.size();
        }
        if (value instanceof PickleTuple tuple) {
            return "tuple of " + tuple.size();
        }
        if (value instanceof TorchGlobal global) {
            return global.name();
        }
        if (value instanceof TorchObjects.Other other) {
            return Messages.oneLine(other.description());
        }
        return value instanceof byte[] bytes ? bytes.length + " bytes" : "a storage";
    }
}
