package dev.graft.train;

import dev.graft.data.Batch;
import dev.graft.data.Loader;
import dev.graft.engine.PlanInput;
import dev.graft.engine.Session;
import dev.graft.model.Network;

/** Batches of pictures from a loader, which it closes. */
final class PictureBatches extends Batches {
    private final Session plan;
    private final PlanInput pixels;
    private final PlanInput target;
    private final Loader loader;
    private Batch next;

    PictureBatches(Session plan, Loader loader) {
        this.plan = plan;
        this.pixels = plan.input(Network.PIXELS);
        this.target = plan.input(TrainingGraph.TARGET);
        this.loader = loader;
    }

    @Override
    int begin(int epoch) {
        loader.begin(epoch);
        next = loader.next();
        if (next == null) {
            return 0;
        }
        pixels.write(next.pixels());
        target.write(next.labels());
        int rows = next.validRows();
        advance();
        return rows;
    }

    @Override
    int ahead() {
        next = loader.next();
        if (next == null) {
            return 0;
        }
        pixels.writeAhead(next.pixels());
        target.writeAhead(next.labels());
        return next.validRows();
    }

    @Override
    void advance() {
        if (next != null) {
            plan.rows(next.validRows(), null, next.sampleIds());
        }
    }

    @Override
    double waitedSeconds() {
        return loader.waitedNanos() / 1e9;
    }

    @Override
    public void close() {
        loader.close();
    }
}
