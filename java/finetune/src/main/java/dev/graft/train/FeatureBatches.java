package dev.graft.train;

import dev.graft.engine.Philox;
import dev.graft.engine.PlanInput;
import dev.graft.engine.Session;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;

/** Batches of features that a frozen prefix left in a cache. */
final class FeatureBatches extends Batches {
    private final Session plan;
    private final PlanInput target;
    private final FeatureCache features;
    private final Long shuffleSeed;
    private final Map<String, FloatBuffer> buffers = new LinkedHashMap<>();
    private final int[] targets;
    private final long[] ids;
    private int[] order = {};
    private int cursor;
    private int valid;

    /** @param shuffleSeed what the order of an epoch is drawn from, null for that of the split */
    FeatureBatches(Session plan, FeatureCache features, int batch, Long shuffleSeed) {
        this.plan = plan;
        this.target = plan.input(TrainingGraph.TARGET);
        this.features = features;
        this.shuffleSeed = shuffleSeed;
        this.targets = new int[batch];
        this.ids = new long[batch];
        features.names().forEach(name -> buffers.put(name, ByteBuffer.allocateDirect(Math.toIntExact(4 * plan.input(name).count()))
                .order(ByteOrder.nativeOrder()).asFloatBuffer()));
    }

    @Override
    int begin(int epoch) {
        IntStream all = shuffleSeed == null ? IntStream.range(0, features.size())
                : Arrays.stream(Philox.permutation(Philox.key(shuffleSeed, "shuffle"), epoch, features.size()));
        order = all.filter(features::holds).toArray();
        cursor = 0;
        if (draw() > 0) {
            buffers.forEach((name, values) -> plan.input(name).write(values));
            target.write(targets);
            advance();
        }
        return valid;
    }

    @Override
    int ahead() {
        if (draw() > 0) {
            buffers.forEach((name, values) -> plan.input(name).writeAhead(values));
            target.writeAhead(targets);
        }
        return valid;
    }

    private int draw() {
        valid = Math.min(targets.length, order.length - cursor);
        if (valid > 0) {
            int[] places = Arrays.copyOfRange(order, cursor, cursor + valid);
            cursor += valid;
            features.fill(places, buffers, targets);
            for (int row = 0; row < ids.length; row++) {
                ids[row] = row < valid ? features.id(places[row]) : 0;
            }
        }
        return valid;
    }

    @Override
    void advance() {
        if (valid > 0) {
            plan.rows(valid, null, ids);
        }
    }
}
