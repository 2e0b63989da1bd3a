package dev.graft.engine;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiFunction;

/**
 * A network as an immutable list of records: inputs, parameters and nodes, each after what it reads, and named outputs.
 * Activations are NHWC, convolution filters OHWI, matrices of {@code linear} [out, in].
 *
 * <p>A graph holds no memory and knows no device; the same graph serves any number of plans. Methods of fine-tuning are
 * functions from graph to graph. Equality is by content. Safe for any number of threads.
 */
public final class Graph {
    private final List<Entry> entries;
    private final Map<String, Entry> byName;
    private final Map<String, Value> outputs;
    private final int hash;

    private Graph(List<Entry> entries, Map<String, Entry> byName, Map<String, Value> outputs) {
        this.entries = Collections.unmodifiableList(entries);
        this.byName = byName;
        this.outputs = Collections.unmodifiableMap(outputs);
        this.hash = 31 * entries.hashCode() + outputs.hashCode();
    }

    /** A new, empty builder. */
    public static GraphBuilder builder() {
        return new GraphBuilder();
    }

    /**
     * A graph of these entries and outputs. Values are matched by name and numbered anew, so entries of other graphs may
     * be mixed in.
     *
     * @throws IllegalArgumentException where a name is defined twice or read before it is defined
     */
    public static Graph of(List<? extends Entry> entries, Map<String, Value> outputs) {
        List<Entry> numbered = new ArrayList<>(entries.size());
        Map<String, Entry> byName = new LinkedHashMap<>();
        for (Entry entry : entries) {
            Value value = new Value(numbered.size(), entry.name());
            Entry copy;
            if (entry instanceof Input input) {
                copy = new Input(value, input.dtype(), input.dims());
            } else if (entry instanceof Param param) {
                copy = new Param(value, param.dims(), param.buffer());
            } else {
                Node node = (Node) entry;
                copy = new Node(node.op(), value, resolve(byName, node), node.attributes());
            }
            if (byName.put(entry.name(), copy) != null) {
                throw new IllegalArgumentException("graph defines " + entry.name() + " twice; names must be unique");
            }
            numbered.add(copy);
        }
        Map<String, Value> resolved = new LinkedHashMap<>();
        outputs.forEach((name, value) -> {
            Entry entry = byName.get(value.name());
            if (entry == null) {
                throw new IllegalArgumentException("output " + name + ": the graph has no value " + value.name());
            }
            resolved.put(name, entry.value());
        });
        return new Graph(numbered, byName, resolved);
    }

    private static List<Value> resolve(Map<String, Entry> known, Node node) {
        List<Value> inputs = new ArrayList<>(node.inputs().size());
        for (Value input : node.inputs()) {
            if (input.equals(Value.ABSENT)) {
                inputs.add(input);
                continue;
            }
            Entry entry = known.get(input.name());
            if (entry == null) {
                throw new IllegalArgumentException(
                        "node " + node.name() + " reads " + input.name() + ", which is not defined before it");
            }
            inputs.add(entry.value());
        }
        return inputs;
    }

    /** All entries in order. */
    public List<Entry> entries() {
        return entries;
    }

    /** The named outputs, in order of declaration. */
    public Map<String, Value> outputs() {
        return outputs;
    }

    /** The inputs in order. */
    public List<Input> inputs() {
        return only(Input.class);
    }

    /** The parameters and buffers in order. */
    public List<Param> parameters() {
        return only(Param.class);
    }

    /** The nodes in order. */
    public List<Node> nodes() {
        return only(Node.class);
    }

    private <T extends Entry> List<T> only(Class<T> type) {
        return entries.stream().filter(type::isInstance).map(type::cast).toList();
    }

    /** Names of the loss nodes in order; the index of a loss in {@link Session#loss(int)} is its place here. */
    public List<String> losses() {
        return nodes().stream().filter(Node::loss).map(Node::name).toList();
    }

    /** The entry of this name, if there is one. */
    public Optional<Entry> find(String name) {
        return Optional.ofNullable(byName.get(name));
    }

    /**
     * The entry of this name.
     *
     * @throws IllegalArgumentException where there is none
     */
    public Entry entry(String name) {
        Entry entry = byName.get(name);
        if (entry == null) {
            throw new IllegalArgumentException("graph has no value named " + name);
        }
        return entry;
    }

    /** The value of this name. */
    public Value value(String name) {
        return entry(name).value();
    }

    /** Sizes of a value as the engine infers them, 0 for the batch. Loads the native library. */
    public List<Long> dims(String name) {
        return NativeGraph.dims(this, entry(name).value());
    }

    /** The graph with other entries under the same outputs; see {@link #of}. */
    public Graph withEntries(List<? extends Entry> others) {
        return of(others, outputs);
    }

    /** The graph with other outputs. */
    public Graph withOutputs(Map<String, Value> others) {
        return of(entries, others);
    }

    /** The graph with one value renamed everywhere. The name of an output does not change. */
    public Graph rename(String from, String to) {
        entry(from);
        GraphBuilder builder = builder();
        for (Entry e : entries) {
            builder.replaced(e, builder.add(e.name().equals(from) ? Rewriting.renamed(e, to) : e));
        }
        return builder.outputs(outputs).build();
    }

    /**
     * The graph with one node replaced. {@code by} is given a builder that holds everything before the node, and the
     * node as it would be added; it adds what it likes, the node itself included, and returns the value that takes
     * the node's place for all later readers and outputs.
     */
    public Graph replace(String node, BiFunction<GraphBuilder, Node, Value> by) {
        if (!(entry(node) instanceof Node)) {
            throw new IllegalArgumentException(node + " is not a node of the graph");
        }
        GraphBuilder builder = builder();
        for (Entry e : entries) {
            Value now = e.name().equals(node)
                    ? by.apply(builder, (Node) builder.redirected(e))
                    : builder.add(e);
            builder.replaced(e, now);
        }
        return builder.outputs(outputs).build();
    }

    /** What is needed to compute these values, each of which becomes an output of its own name. */
    public Graph prefix(String... boundary) {
        return Splitting.prefix(this, Arrays.asList(boundary));
    }

    /** What remains to be computed once these values are known; each becomes an input of its own name. */
    public Graph suffix(String... boundary) {
        return Splitting.suffix(this, Arrays.asList(boundary));
    }

    /**
     * Splits where the first trainable parameter flows in. The prefix has every value that depends on the inputs, on no
     * name in {@code live} and on no random number; its outputs, the boundary, are the inputs of the suffix.
     *
     * @param live names of trainable parameters and of tracked statistics
     * @throws IllegalArgumentException where a name is no parameter of this graph
     */
    public Split split(Collection<String> live) {
        Set<String> names = new HashSet<>(live);
        for (String name : names) {
            if (!(byName.get(name) instanceof Param)) {
                throw new IllegalArgumentException("graph has no parameter named " + name);
            }
        }
        return Splitting.split(this, names);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Graph g && hash == g.hash && entries.equals(g.entries) && outputs.equals(g.outputs);
    }

    @Override
    public int hashCode() {
        return hash;
    }

    @Override
    public String toString() {
        return "Graph[" + inputs().size() + " inputs, " + parameters().size() + " parameters, " + nodes().size()
                + " nodes, outputs " + outputs.keySet() + "]";
    }
}
