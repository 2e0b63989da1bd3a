package dev.graft.weights;

import java.util.LinkedHashMap;
import java.util.Map;

/** A Python dictionary out of a pickle. Two are equal only if they are the same: a pickle may hold one inside itself. */
final class PickleDict {
    /** Entries in insertion order; keys are never lists or dictionaries. */
    final Map<Object, Object> entries = new LinkedHashMap<>();
    /** Whether it is an OrderedDict, which may carry attributes. */
    final boolean ordered;

    PickleDict(boolean ordered) {
        this.ordered = ordered;
    }
}
