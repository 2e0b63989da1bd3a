package dev.graft.weights;

/** A Python tuple out of a pickle; equal only to itself. */
final class PickleTuple {
    final Object[] items;

    PickleTuple(Object... items) {
        this.items = items;
    }

    int size() {
        return items.length;
    }
}
