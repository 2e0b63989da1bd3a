package dev.graft.engine;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * Builds a {@link Graph}, one method per operation. Every value is given a name that is unique in the graph; parameters
 * bear the names of their checkpoint ({@code layer1.0.conv1.weight}) and nodes those of their modules
 * ({@code layer1.0.conv1}). Shapes in the descriptions: N rows of the batch, H and W rows and columns, C and K channels.
 * Optional operands may be null. For one thread.
 *
 * <p>Names and references are checked here, shapes and attributes when a plan is compiled.
 */
public final class GraphBuilder extends Operations {
    private final List<Entry> entries = new ArrayList<>();
    private final Map<String, Value> known = new HashMap<>();
    private final Map<String, Value> outputs = new LinkedHashMap<>();
    private final Map<String, Value> replaced = new HashMap<>();

    GraphBuilder() {}

    /** An input; a size of 0 is the plan's batch. */
    public Value input(String name, DType dtype, long... dims) {
        return define(new Input(next(name), Objects.requireNonNull(dtype), Dims.of(dims)));
    }

    /** A parameter. */
    public Value parameter(String name, long... dims) {
        return define(new Param(next(name), Dims.of(dims), false));
    }

    /** A statistic that no optimizer touches, for example a running mean. */
    public Value buffer(String name, long... dims) {
        return define(new Param(next(name), Dims.of(dims), true));
    }

    @Override
    public Value node(String op, String name, Map<String, Double> attributes, Value... inputs) {
        List<Value> read = new ArrayList<>(inputs.length);
        for (Value input : inputs) {
            read.add(input == null || input.equals(Value.ABSENT) ? Value.ABSENT : here(name, input));
        }
        while (!read.isEmpty() && read.get(read.size() - 1).equals(Value.ABSENT)) {
            read.remove(read.size() - 1);
        }
        return define(new Node(op, next(name), read, attributes));
    }

    /** Adds an entry of another graph; what it reads is matched by name. */
    public Value add(Entry entry) {
        Entry now = redirected(entry);
        if (now instanceof Node node) {
            return node(node.op(), node.name(), node.attributes(), node.inputs().toArray(new Value[0]));
        }
        return define(Rewriting.renamed(now, now.name()));
    }

    /** Gives a value a public name: it can be read after a run. A value may have several. */
    public GraphBuilder output(String name, Value value) {
        if (outputs.put(name, here("output " + name, value)) != null) {
            throw new IllegalArgumentException("output " + name + " is declared twice");
        }
        return this;
    }

    /** The value of this name, defined before. */
    public Value value(String name) {
        Value value = known.get(name);
        if (value == null) {
            throw new IllegalArgumentException("no value named " + name + " has been defined");
        }
        return value;
    }

    /** The graph so far. */
    public Graph build() {
        return Graph.of(entries, outputs);
    }

    /** The entry with its operands exchanged for what replaced them. */
    Entry redirected(Entry entry) {
        if (entry instanceof Node node) {
            return Rewriting.reading(
                    node, node.inputs().stream().map(v -> replaced.getOrDefault(v.name(), v)).toList());
        }
        return entry;
    }

    /** Later entries and outputs that read {@code entry} shall read {@code now}. */
    void replaced(Entry entry, Value now) {
        if (!entry.name().equals(now.name())) {
            replaced.put(entry.name(), now);
        }
    }

    GraphBuilder outputs(Map<String, Value> all) {
        all.forEach((name, value) -> output(name, replaced.getOrDefault(value.name(), value)));
        return this;
    }

    private Value next(String name) {
        if (name.isEmpty() || name.chars().anyMatch(c -> c <= ' ' || c == ',' || c == '=')) {
            throw new IllegalArgumentException("name '" + name + "' is empty or has a space, a comma or an equals sign");
        }
        return new Value(entries.size(), name);
    }

    private Value define(Entry entry) {
        if (known.putIfAbsent(entry.name(), entry.value()) != null) {
            throw new IllegalArgumentException("graph defines " + entry.name() + " twice; names must be unique");
        }
        entries.add(entry);
        return entry.value();
    }

    private Value here(String reader, Value value) {
        Value own = known.get(value.name());
        if (own == null) {
            throw new IllegalArgumentException(reader + " reads " + value.name() + ", which is not defined before it");
        }
        return own;
    }
}
