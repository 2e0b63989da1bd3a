package dev.graft.engine;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * What a graph is compiled for. Immutable; with the graph it is the key of a {@link PlanCache}.
 *
 * @param mode training or evaluation
 * @param precision of products and stored activations
 * @param batch rows of one run
 * @param fold whether frozen batch norms are folded into frozen convolutions
 * @param fuse whether activations, biases and residuals become part of the kernel before them
 * @param accumulate whether gradients of several runs add up until an update
 * @param optimizer the optimizer, null in evaluation plans
 * @param clip whether updates are clipped to the norm given by {@link Session#clip}
 * @param anchor whether weights are pulled to those of their files ({@link Session#anchor}, L2-SP)
 * @param watch whether sizes of updates are measured ({@link Session#updateNorms})
 * @param average how much of a moving average of the weights stays at an update, e = average e + (1 - average) w, read with
 *     {@link Parameters#readAverage}; 0 keeps none
 * @param groups rate groups
 * @param trainables what trains, in order
 * @param tracked running statistics that are updated; their batch norms normalise by the batch
 * @param keep nodes whose results, and gradients where there are any, stay readable after a run
 * @param resident inputs that stay in memory of the session, written once for many runs; their first size is any
 * @param limit bytes that the plan may take, 0 = what machine and container leave
 * @param products how a GPU makes matrix products
 */
public record PlanOptions(Mode mode, Precision precision, int batch, boolean fold, boolean fuse, boolean accumulate,
        Optimizer optimizer, boolean clip, boolean anchor, boolean watch, double average, int groups, List<Trainable> trainables,
        List<String> tracked, List<String> keep, List<String> resident, long limit, ProductChoice products) {
    /** Copies the lists and checks the numbers. */
    public PlanOptions {
        Objects.requireNonNull(mode, "mode");
        Objects.requireNonNull(precision, "precision");
        Objects.requireNonNull(products, "products");
        trainables = List.copyOf(trainables);
        tracked = List.copyOf(tracked);
        keep = List.copyOf(keep);
        resident = List.copyOf(resident);
        Numbers.within("average", average, 0, 1);
        if (batch < 1) {
            throw new IllegalArgumentException("batch must be at least 1, got " + batch);
        }
        for (Trainable t : trainables) {
            if (t.group() >= groups) {
                throw new IllegalArgumentException(
                        t.name() + " is in group " + t.group() + ", but the plan has " + groups + " groups");
            }
        }
        if (mode == Mode.TRAIN && !trainables.isEmpty() && optimizer == null) {
            throw new IllegalArgumentException("a plan that trains " + trainables.get(0).name() + " needs an optimizer");
        }
        if (mode == Mode.EVAL && !trainables.isEmpty()) {
            throw new IllegalArgumentException("an evaluation plan trains nothing, got " + trainables.get(0).name());
        }
    }

    /** Options of an evaluation plan for this many rows. */
    public static Builder eval(int batch) {
        return new Builder(Mode.EVAL, batch);
    }

    /** Options of a training plan for this many rows. */
    public static Builder train(int batch, Optimizer optimizer) {
        Builder builder = new Builder(Mode.TRAIN, batch);
        builder.optimizer = Objects.requireNonNull(optimizer, "optimizer");
        return builder;
    }

    /** The lines that {@code graft_plan_compile} reads; numbers do not depend on the locale. */
    String text() {
        return new PlanLines().add(this).toString();
    }

    /** Collects options; every method returns the builder. Fold and fuse are on, everything else off, one group. */
    public static final class Builder {
        private final Mode mode;
        private final int batch;
        private Optimizer optimizer;
        private Precision precision = Precision.F32;
        private boolean fold = true;
        private boolean fuse = true;
        private boolean accumulate;
        private boolean clip;
        private boolean anchor;
        private boolean watch;
        private double average;
        private int groups = 1;
        private long limit;
        private ProductChoice products = ProductChoice.SILENT;
        private final Map<String, Trainable> trainables = new LinkedHashMap<>();
        private final List<String> tracked = new ArrayList<>();
        private final List<String> keep = new ArrayList<>();
        private final List<String> resident = new ArrayList<>();

        private Builder(Mode mode, int batch) {
            this.mode = mode;
            this.batch = batch;
        }

        /** See {@link PlanOptions#precision}. */
        public Builder precision(Precision value) {
            precision = value;
            return this;
        }

        /** See {@link PlanOptions#fold}. */
        public Builder fold(boolean on) {
            fold = on;
            return this;
        }

        /** See {@link PlanOptions#fuse}. */
        public Builder fuse(boolean on) {
            fuse = on;
            return this;
        }

        /** See {@link PlanOptions#accumulate}. */
        public Builder accumulate(boolean on) {
            accumulate = on;
            return this;
        }

        /** See {@link PlanOptions#clip}. */
        public Builder clip(boolean on) {
            clip = on;
            return this;
        }

        /** See {@link PlanOptions#anchor}. */
        public Builder anchor(boolean on) {
            anchor = on;
            return this;
        }

        /** See {@link PlanOptions#watch}. */
        public Builder watch(boolean on) {
            watch = on;
            return this;
        }

        /** See {@link PlanOptions#average}. */
        public Builder average(double share) {
            average = share;
            return this;
        }

        /** Number of rate groups; grows by itself with {@link #train}. */
        public Builder groups(int count) {
            groups = Math.max(groups, count);
            return this;
        }

        /** Trains a parameter in a group. */
        public Builder train(String name, int group) {
            return train(new Trainable(name, group));
        }

        /** Trains parameters in group 0. */
        public Builder train(String... names) {
            for (String name : names) {
                train(name, 0);
            }
            return this;
        }

        /** Trains a parameter or a part of it. */
        public Builder train(Trainable trainable) {
            if (trainables.putIfAbsent(trainable.name(), trainable) != null) {
                throw new IllegalArgumentException(trainable.name() + " is told to train twice");
            }
            return groups(trainable.group() + 1);
        }

        /** Trains only rows begin to end - 1 of a parameter that was told to train; may be called again, ascending. */
        public Builder rows(String name, long begin, long end) {
            Trainable t = trainable(name);
            List<Trainable.Rows> rows = new ArrayList<>(t.rows());
            rows.add(new Trainable.Rows(begin, end));
            trainables.put(name, new Trainable(name, t.group(), rows, t.mask()));
            return this;
        }

        /** Trains only the elements whose bit in a file is set; see {@link Trainable#mask}. */
        public Builder mask(String name, Path bits) {
            Trainable t = trainable(name);
            trainables.put(name, new Trainable(name, t.group(), t.rows(), bits));
            return this;
        }

        /** The batch norm that owns this running statistic normalises by its batch and updates it. */
        public Builder track(String buffer) {
            tracked.add(buffer);
            return this;
        }

        /** Keeps a node's result readable after a run. */
        public Builder keep(String node) {
            keep.add(node);
            return this;
        }

        /** See {@link PlanOptions#resident}. */
        public Builder resident(String input) {
            resident.add(input);
            return this;
        }

        /** Refuses plans above this many bytes instead of the machine's own limit. */
        public Builder limit(long bytes) {
            limit = bytes;
            return this;
        }

        /** See {@link PlanOptions#products}. */
        public Builder products(ProductChoice choice) {
            products = choice;
            return this;
        }

        /** The options. */
        public PlanOptions build() {
            return new PlanOptions(mode, precision, batch, fold, fuse, accumulate, optimizer, clip, anchor, watch, average,
                    groups, new ArrayList<>(trainables.values()), tracked, keep, resident, limit, products);
        }

        private Trainable trainable(String name) {
            Trainable t = trainables.get(name);
            if (t == null) {
                throw new IllegalArgumentException(name + " is not told to train");
            }
            return t;
        }
    }
}
