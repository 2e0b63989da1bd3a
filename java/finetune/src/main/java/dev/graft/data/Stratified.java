package dev.graft.data;

import dev.graft.engine.Philox;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Splits samples into train, val and test with the same shares of every class, by seed. */
final class Stratified {
    private Stratified() {}

    /**
     * Each class gives the rounded shares: at least one picture where it has two for it, and never its last one for
     * training. A share of 0 gives no such split.
     */
    static Map<String, List<Sample>> split(List<Sample> all, int classes, long seed, double valShare, double testShare) {
        if (valShare + testShare >= 1) {
            throw new DataException("shares of " + valShare + " for validation and " + testShare
                    + " for the test leave nothing to train on");
        }
        long key = Philox.key(seed, "split");
        List<List<Sample>> byClass = new ArrayList<>();
        for (int label = 0; label < classes; label++) {
            byClass.add(new ArrayList<>());
        }
        all.forEach(sample -> byClass.get(sample.label()).add(sample));
        Map<String, List<Sample>> splits = new HashMap<>();
        Layout.SPLITS.forEach(name -> splits.put(name, new ArrayList<>()));
        for (int label = 0; label < classes; label++) {
            List<Sample> members = byClass.get(label);
            int n = members.size();
            int forVal = share(n, n, valShare);
            int forTest = share(n, n - forVal, testShare);
            int[] order = Philox.permutation(key, label, n);
            for (int i = 0; i < n; i++) {
                String name = i < forVal ? "val" : i < forVal + forTest ? "test" : "train";
                splits.get(name).add(members.get(order[i]));
            }
        }
        splits.values().forEach(list -> list.sort(Comparator.comparingLong(Sample::id)));
        splits.values().removeIf(List::isEmpty);
        return splits;
    }

    /** The rounded share of {@code n}, between 1 and all but one of the {@code left}. */
    private static int share(int n, int left, double fraction) {
        if (fraction == 0 || left < 2) {
            return 0;
        }
        return (int) Math.min(left - 1, Math.max(1, Math.round(n * fraction)));
    }
}
