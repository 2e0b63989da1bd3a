package dev.graft.weights;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The stack, the marks and the memory of an {@link Unpickler}, all of bounded size. */
final class PickleStack {
    private static final int MOST_OBJECTS = 4_000_000;
    private static final int MOST_CONTAINERS = 1_000_000;
    private static final int MOST_REMEMBERED = 2_000_000;

    private final PickleInput in;
    private final List<Object> stack = new ArrayList<>();
    private final List<Integer> marks = new ArrayList<>();
    private final Map<Integer, Object> memory = new HashMap<>();
    private int pushed;
    private int containers;

    /** The input gives the place for messages. */
    PickleStack(PickleInput in) {
        this.in = in;
    }

    void push(Object value) {
        count();
        stack.add(value);
    }

    /** Pushes an object that takes more memory than a number. */
    void pushContainer(Object value) {
        if (++containers > MOST_CONTAINERS) {
            throw in.failure("more than " + MOST_CONTAINERS + " lists, dictionaries and tensors");
        }
        push(value);
    }

    void mark() {
        count();
        marks.add(stack.size());
    }

    Object top() {
        int bottom = marks.isEmpty() ? 0 : marks.get(marks.size() - 1);
        if (stack.size() <= bottom) {
            throw in.failure("an instruction takes a value from an empty stack");
        }
        return stack.get(stack.size() - 1);
    }

    Object pop() {
        Object value = top();
        stack.remove(stack.size() - 1);
        return value;
    }

    /** Removes the last mark and everything above it, and returns that in order. */
    List<Object> popToMark() {
        if (marks.isEmpty()) {
            throw in.failure("an instruction looks for a mark that is not there");
        }
        List<Object> tail = stack.subList(marks.remove(marks.size() - 1), stack.size());
        List<Object> items = new ArrayList<>(tail);
        tail.clear();
        return items;
    }

    void remember(int slot) {
        memory.put(slot, top());
        if (memory.size() > MOST_REMEMBERED) {
            throw in.failure("more than " + MOST_REMEMBERED + " remembered objects");
        }
    }

    void rememberNext() {
        remember(memory.size());
    }

    Object recall(int slot) {
        if (!memory.containsKey(slot)) {
            throw in.failure("object " + (slot & 0xffffffffL) + " is recalled but was never remembered");
        }
        return memory.get(slot);
    }

    private void count() {
        if (++pushed > MOST_OBJECTS) {
            throw in.failure("more than " + MOST_OBJECTS + " objects");
        }
    }
}
