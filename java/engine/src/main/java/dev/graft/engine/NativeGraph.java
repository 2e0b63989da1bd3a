package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_graph;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** A graph as the native side has it: with a batch in place of the zeros. Lives within one call. */
final class NativeGraph implements AutoCloseable {
    private static final int ABSENT = -1;
    private static final long UNKNOWN_BATCH = 0;

    private final graft_graph graph = new graft_graph(null);
    // Native number of each entry's value.
    private final int[] numbers;

    NativeGraph(Graph source, long batch) {
        Natives.load();
        Status.check(Graft.graft_graph_create(graph));
        numbers = new int[source.entries().size()];
        try {
            for (Entry entry : source.entries()) {
                numbers[entry.value().id()] = add(entry, batch);
            }
            source.outputs().forEach(
                    (name, value) -> Status.check(Graft.graft_graph_output(graph, name, numbers[value.id()])));
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    graft_graph pointer() {
        return graph;
    }

    private int add(Entry entry, long batch) {
        int[] number = {ABSENT};
        if (entry instanceof Input input) {
            long[] dims = Dims.array(input.dims());
            for (int i = 0; i < dims.length; i++) {
                dims[i] = dims[i] == 0 ? batch : dims[i];
            }
            Status.check(Graft.graft_graph_input(graph, input.name(), input.dtype().code, dims.length, dims, number));
        } else if (entry instanceof Param param) {
            long[] dims = Dims.array(param.dims());
            Status.check(Graft.graft_graph_parameter(graph, param.name(), dims.length, dims, number));
        } else {
            Node node = (Node) entry;
            int[] inputs = node.inputs().stream()
                    .mapToInt(v -> v.equals(Value.ABSENT) ? ABSENT : numbers[v.id()]).toArray();
            Status.check(Graft.graft_graph_node(graph, node.op(), node.name(), inputs, inputs.length,
                    text(node.attributes()), number));
        }
        return number[0];
    }

    private static String text(Map<String, Double> attributes) {
        StringBuilder text = new StringBuilder();
        attributes.forEach((key, x) ->
                text.append(text.isEmpty() ? "" : ",").append(key).append('=').append(Numbers.text(x)));
        return text.toString();
    }

    private long[] dims(Value value) {
        int[] rank = new int[1];
        long[] dims = new long[Dims.LARGEST_RANK];
        Status.check(Graft.graft_graph_dims(graph, numbers[value.id()], rank, dims));
        return java.util.Arrays.copyOf(dims, rank[0]);
    }

    /** Sizes of a value with 0 for the batch: the size that grows when the batch does. */
    static List<Long> dims(Graph source, Value value) {
        try (NativeGraph one = new NativeGraph(source, 1); NativeGraph two = new NativeGraph(source, 2)) {
            long[] a = one.dims(value);
            long[] b = two.dims(value);
            List<Long> dims = new ArrayList<>(a.length);
            for (int i = 0; i < a.length; i++) {
                if (a[i] != b[i] && a[i] != 1) {
                    throw new IllegalArgumentException(value.name() + ": axis " + i + " is " + a[i]
                            + " times the batch; it must be the batch itself to stand at the edge of a graph");
                }
                dims.add(a[i] == b[i] ? a[i] : UNKNOWN_BATCH);
            }
            return List.copyOf(dims);
        }
    }

    @Override
    public void close() {
        Graft.graft_graph_close(graph);
    }
}
