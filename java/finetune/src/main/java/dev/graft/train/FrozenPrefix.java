package dev.graft.train;

import dev.graft.data.Batch;
import dev.graft.data.DecodedCache;
import dev.graft.data.Loader;
import dev.graft.data.Pipeline;
import dev.graft.data.Split;
import dev.graft.engine.Plan;
import dev.graft.model.Network;
import java.util.Arrays;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/**
 * The layers below all that a stage trains, run over whole splits before the stage begins. Owns its plan.
 *
 * @param plan of the prefix, evaluating
 * @param threads that load pictures
 * @param stop asked after every batch; true ends the pass
 */
record FrozenPrefix(Plan plan, int threads, TrainObserver observer, BooleanSupplier stop) implements AutoCloseable {
    /** A pass was ended from outside, before the stage changed anything. */
    static final class Stopped extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    /**
     * Runs over all batches of a split in order, as {@code what} to the observer; {@code each} may read the plan's outputs for its batch.
     *
     * @throws Stopped where the pass was ended
     */
    void run(String what, Split pictures, Pipeline pipeline, DecodedCache decoded, Consumer<Batch> each) {
        try (Loader loader = Loader.sequential(pictures, pipeline, plan.options().batch(), threads, decoded)) {
            loader.begin(0);
            int done = 0;
            for (Batch batch = loader.next(); batch != null; batch = loader.next()) {
                plan.input(Network.PIXELS).write(batch.pixels());
                plan.rows(batch.validRows());
                plan.forward();
                each.accept(batch);
                done += batch.validRows();
                observer.pass(what, done, pictures.size());
                if (stop.getAsBoolean()) {
                    throw new Stopped();
                }
            }
        }
    }

    /** The rows of a value that pictures of the batch are in. */
    float[] read(String value, Batch batch) {
        float[] all = plan.read(value);
        return batch.validRows() == batch.rows() ? all : Arrays.copyOf(all, all.length / batch.rows() * batch.validRows());
    }

    @Override
    public void close() {
        plan.close();
    }
}
