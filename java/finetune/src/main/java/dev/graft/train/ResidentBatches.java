package dev.graft.train;

import dev.graft.data.PictureBytes;
import dev.graft.data.Pipeline;
import dev.graft.data.Split;
import dev.graft.engine.DType;
import dev.graft.engine.Device;
import dev.graft.engine.Entry;
import dev.graft.engine.Graph;
import dev.graft.engine.GraphBuilder;
import dev.graft.engine.Philox;
import dev.graft.engine.Plan;
import dev.graft.engine.PlanInput;
import dev.graft.engine.PlanOptions;
import dev.graft.engine.Value;
import dev.graft.model.Network;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * Batches of pictures that lie on the device as bytes, all of them: a step is told which pictures to cut where, and the plan begins with
 * cutting, mirroring and normalising them. Order and cuts are those of {@link PictureBatches}.
 */
final class ResidentBatches extends Batches {
    /** System property: auto keeps the training pictures on a GPU where they fit, device on any device, host nowhere. */
    private static final String WHERE = "graft.pictures";
    private static final String PICTURES = "resident.pictures";
    private static final String WINDOWS = "resident.windows";
    private static final String SCALE = "resident.scale";
    private static final String OFFSET = "resident.offset";

    private final Plan plan;
    private final PlanInput windows;
    private final PlanInput target;
    private final Split split;
    private final Pipeline pipeline;
    private final int width;
    private final int height;
    private final long key;
    private final int[] cuts;
    private final int[] labels;
    private final long[] ids;
    private int[] order = {};
    private int epoch;
    private int cursor;
    private int valid;

    ResidentBatches(Plan plan, PictureBytes pictures, Split split, Pipeline pipeline, int batch, long seed) {
        this.plan = plan;
        this.windows = plan.input(WINDOWS);
        this.target = plan.input(TrainingGraph.TARGET);
        this.split = split;
        this.pipeline = pipeline;
        this.width = pictures.width();
        this.height = pictures.height();
        this.key = Philox.key(seed, "shuffle");
        this.cuts = new int[4 * batch];
        this.labels = new int[batch];
        this.ids = new long[batch];
    }

    /** Whether pictures shall stay on this device, where they can. */
    static boolean wanted(Device device) {
        return switch (System.getProperty(WHERE, "auto")) {
            case "auto" -> device.column().startsWith("cuda");
            case "device" -> true;
            case "host" -> false;
            default -> throw new IllegalArgumentException(WHERE + " is " + System.getProperty(WHERE) + ", expected auto, device or host");
        };
    }

    /** The graph that makes its pixels of resident pictures. */
    static Graph graph(Graph graph, PictureBytes pictures, int count, int size) {
        GraphBuilder b = Graph.builder();
        for (Entry entry : graph.entries()) {
            if (entry.name().equals(Network.PIXELS)) {
                Value bytes = b.input(PICTURES, DType.U8, count, pictures.height(), pictures.width(), 3);
                b.normalizePictures(Network.PIXELS, bytes, b.input(SCALE, DType.F32, 3), b.input(OFFSET, DType.F32, 3),
                        b.input(WINDOWS, DType.I32, 0, 4), size, size);
            } else {
                b.add(entry);
            }
        }
        graph.outputs().forEach(b::output);
        return b.build();
    }

    /** What a plan of {@link #graph} needs beside. */
    static void options(PlanOptions.Builder options) {
        List.of(PICTURES, SCALE, OFFSET).forEach(options::resident);
    }

    /** Puts all pictures into the plan; null, or the reason why that cannot be. */
    static String fill(Plan plan, PictureBytes pictures, Pipeline pipeline, int threads) {
        plan.input(SCALE).write(direct(pipeline.scale()));
        plan.input(OFFSET).write(direct(pipeline.offset()));
        PlanInput all = plan.input(PICTURES);
        return pictures.each(threads, (bytes, place) -> all.write((long) place * pictures.bytes(), bytes));
    }

    private static ByteBuffer direct(float[] values) {
        ByteBuffer bytes = ByteBuffer.allocateDirect(4 * values.length).order(ByteOrder.nativeOrder());
        bytes.asFloatBuffer().put(values);
        return bytes;
    }

    @Override
    int begin(int epoch) {
        this.epoch = epoch;
        order = Philox.permutation(key, epoch, split.size());
        cursor = 0;
        if (draw() > 0) {
            windows.write(cuts);
            target.write(labels);
            advance();
        }
        return valid;
    }

    @Override
    int ahead() {
        if (draw() > 0) {
            windows.writeAhead(cuts);
            target.writeAhead(labels);
        }
        return valid;
    }

    private int draw() {
        valid = Math.min(labels.length, order.length - cursor);
        for (int row = 0; row < labels.length && valid > 0; row++) {
            boolean there = row < valid;
            int place = there ? order[cursor + row] : -1;
            cuts[4 * row] = place;
            ids[row] = there ? split.samples().get(place).id() : 0;
            labels[row] = there ? split.samples().get(place).label() : 0;
            if (there) {
                pipeline.window(width, height, ids[row], epoch, cuts, 4 * row + 1);
            }
        }
        cursor += valid;
        return valid;
    }

    @Override
    void advance() {
        if (valid > 0) {
            plan.rows(valid, null, ids);
        }
    }
}
