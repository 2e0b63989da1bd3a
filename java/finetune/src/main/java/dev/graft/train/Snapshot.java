package dev.graft.train;

import dev.graft.engine.Parameters;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;

/** Values of the parameters that a run changes, copied at the end of an epoch. */
final class Snapshot {
    private final Map<String, float[]> values = new LinkedHashMap<>();

    static Snapshot of(Parameters parameters, Collection<String> names) {
        Snapshot s = new Snapshot();
        names.forEach(n -> s.values.put(n, parameters.read(n)));
        return s;
    }

    void restore(Parameters parameters) {
        values.forEach(parameters::write);
    }
}
