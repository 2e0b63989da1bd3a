package dev.graft.data;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** The pictures of a split that turned out to be unreadable while they were loaded, and when that is too many. */
final class Losses {
    private final Split split;
    private final int[] left;
    private final Map<Long, Rejected> lost = new TreeMap<>();

    Losses(Split split) {
        this.split = split;
        this.left = split.counts();
    }

    synchronized boolean contains(Sample sample) {
        return !lost.isEmpty() && lost.containsKey(sample.id());
    }

    /** @throws DataException if that leaves a class empty or takes more than half of a labelled split */
    synchronized void add(Sample sample, UnreadablePicture damage) {
        lost.put(sample.id(), new Rejected(sample.path(), damage.reason()));
        left[sample.label()]--;
        if (split.classes().isEmpty()) {
            return;
        }
        if (left[sample.label()] == 0) {
            throw new DataException(split.name() + ": no picture of class '" + split.classes().get(sample.label())
                    + "' can be read (last: " + damage.getMessage() + ")", damage);
        }
        if (2 * lost.size() > split.size()) {
            throw new DataException(split.name() + ": " + lost.size() + " of " + split.size()
                    + " pictures cannot be read (last: " + damage.getMessage() + ")", damage);
        }
    }

    /** In order of the sample ids. */
    synchronized List<Rejected> list() {
        return new ArrayList<>(lost.values());
    }
}
