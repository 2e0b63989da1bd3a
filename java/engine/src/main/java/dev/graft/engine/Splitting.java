package dev.graft.engine;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Cutting a graph along values. Names of entries stand for the entries; order is always the graph's. */
final class Splitting {
    private Splitting() {}

    static Split split(Graph graph, Set<String> live) {
        // Values an input flows into: only these change from row to row, so only they are worth handing over.
        Set<String> batched = new HashSet<>();
        Set<String> trained = new HashSet<>();
        Set<String> boundary = new LinkedHashSet<>();
        for (Entry entry : graph.entries()) {
            String name = entry.name();
            if (entry instanceof Input) {
                batched.add(name);
            } else if (entry instanceof Param) {
                if (live.contains(name)) {
                    trained.add(name);
                }
            } else {
                Node node = (Node) entry;
                if (reads(node, batched)) {
                    batched.add(name);
                }
                // A loss stays with the losses: a prefix plan has no step results.
                if (node.random() || node.loss() || reads(node, trained)) {
                    trained.add(name);
                    for (Value input : node.inputs()) {
                        if (!trained.contains(input.name()) && batched.contains(input.name())
                                && graph.entry(input.name()) instanceof Node) {
                            boundary.add(input.name());
                        }
                    }
                }
            }
        }
        List<String> ordered = graph.entries().stream().map(Entry::name).filter(boundary::contains).toList();
        return new Split(prefix(graph, ordered), suffix(graph, ordered), ordered);
    }

    private static boolean reads(Node node, Set<String> names) {
        return node.inputs().stream().anyMatch(v -> names.contains(v.name()));
    }

    static Graph prefix(Graph graph, List<String> boundary) {
        Set<String> needed = closure(graph, boundary, Set.of());
        Map<String, Value> outputs = new LinkedHashMap<>();
        boundary.forEach(name -> outputs.put(name, graph.value(name)));
        graph.outputs().forEach((name, value) -> {
            if (needed.contains(value.name())) {
                outputs.putIfAbsent(name, value);
            }
        });
        return Graph.of(graph.entries().stream().filter(e -> needed.contains(e.name())).toList(), outputs);
    }

    static Graph suffix(Graph graph, List<String> boundary) {
        Set<String> given = new HashSet<>(boundary);
        Set<String> before = closure(graph, boundary, Set.of());
        List<String> rest = graph.nodes().stream().map(Node::name).filter(name -> !before.contains(name)).toList();
        Set<String> needed = closure(graph, rest, given);
        needed.addAll(given);
        List<Entry> entries = new ArrayList<>();
        for (Entry entry : graph.entries()) {
            if (given.contains(entry.name()) && entry instanceof Node) {
                entries.add(new Input(entry.value(), dtype(graph, entry), graph.dims(entry.name())));
            } else if (needed.contains(entry.name())) {
                entries.add(entry);
            }
        }
        Map<String, Value> outputs = new LinkedHashMap<>();
        graph.outputs().forEach((name, value) -> {
            if (needed.contains(value.name()) && !given.contains(value.name())) {
                outputs.put(name, value);
            }
        });
        return Graph.of(entries, outputs);
    }

    /** The names and all that they read, directly or not, going no further than {@code stop}. */
    private static Set<String> closure(Graph graph, List<String> names, Set<String> stop) {
        Set<String> needed = new HashSet<>(names);
        for (int i = graph.entries().size() - 1; i >= 0; i--) {
            Entry entry = graph.entries().get(i);
            if (entry instanceof Node node && needed.contains(entry.name()) && !stop.contains(entry.name())) {
                node.inputs().forEach(v -> needed.add(v.name()));
            }
        }
        names.forEach(graph::entry);
        return needed;
    }

    /** Everything computed is F32 at a plan's doors; what is only moved keeps its type. */
    private static DType dtype(Graph graph, Entry entry) {
        while (entry instanceof Node node && node.moves()) {
            entry = graph.entry(node.inputs().get(0).name());
        }
        return entry instanceof Input input ? input.dtype() : DType.F32;
    }
}
