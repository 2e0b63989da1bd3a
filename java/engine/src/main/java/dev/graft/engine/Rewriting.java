package dev.graft.engine;

import java.util.List;

/** Copies of entries with something exchanged. */
final class Rewriting {
    private Rewriting() {}

    /** The entry under another name. */
    static Entry renamed(Entry entry, String name) {
        Value value = new Value(entry.value().id(), name);
        if (entry instanceof Input input) {
            return new Input(value, input.dtype(), input.dims());
        }
        if (entry instanceof Param param) {
            return new Param(value, param.dims(), param.buffer());
        }
        Node node = (Node) entry;
        return new Node(node.op(), value, node.inputs(), node.attributes());
    }

    /** The node reading other values. */
    static Node reading(Node node, List<Value> inputs) {
        return new Node(node.op(), node.value(), inputs, node.attributes());
    }
}
