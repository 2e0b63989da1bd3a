package dev.graft.train;

import dev.graft.data.DecodedCache;
import dev.graft.data.Pipeline;
import dev.graft.data.Sample;
import dev.graft.engine.Graph;
import dev.graft.engine.Split;
import dev.graft.model.Network;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * What a frozen prefix makes of every picture of a split, so that it runs once a picture, whatever the number of epochs. Rows
 * of pictures that could not be read stay empty. Owned by a stage.
 */
final class FeatureCache {
    private final Map<String, float[][]> values = new LinkedHashMap<>();
    private final List<Sample> samples;

    private FeatureCache(List<String> boundary, List<Sample> samples) {
        this.samples = samples;
        boundary.forEach(name -> values.put(name, new float[samples.size()][]));
    }

    /** Whether there is a frozen prefix whose values are all that the rest reads of a picture: an adapter of the first layer reads pixels. */
    static boolean suffices(Split split) {
        return !split.boundary().isEmpty() && split.suffix().find(Network.PIXELS).isEmpty();
    }

    /** Bytes that the boundary of a prefix takes for a number of pictures. */
    static long bytes(Split split, long samples) {
        long floats = 0;
        for (String name : split.boundary()) {
            floats += floats(split.prefix(), name);
        }
        return 4 * floats * samples;
    }

    /** Values of one picture. */
    static int floats(Graph graph, String value) {
        long n = 1;
        List<Long> dims = graph.dims(value);
        for (int i = 1; i < dims.size(); i++) {
            n *= dims.get(i);
        }
        return Math.toIntExact(n);
    }

    /** Runs the prefix over a split, as {@code what} to its observer. The pipeline is deterministic. */
    static FeatureCache fill(FrozenPrefix prefix, String what, List<String> boundary, dev.graft.data.Split pictures, Pipeline pipeline,
                             DecodedCache decoded) {
        FeatureCache cache = new FeatureCache(boundary, pictures.samples());
        Map<Long, Integer> places = new HashMap<>();
        for (int i = 0; i < pictures.size(); i++) {
            places.put(cache.id(i), i);
        }
        prefix.run(what, pictures, pipeline, decoded, batch -> {
            for (String name : boundary) {
                float[] all = prefix.read(name, batch);
                int width = all.length / batch.validRows();
                for (int row = 0; row < batch.validRows(); row++) {
                    cache.values.get(name)[places.get(batch.sampleIds()[row])] = Arrays.copyOfRange(all, row * width, (row + 1) * width);
                }
            }
        });
        return cache;
    }

    int size() {
        return samples.size();
    }

    /** Id of the picture at a place of the split. */
    long id(int place) {
        return samples.get(place).id();
    }

    boolean holds(int place) {
        return values.values().iterator().next()[place] != null;
    }

    /** Pictures that could be read. */
    int held() {
        return (int) IntStream.range(0, size()).filter(this::holds).count();
    }

    float[] features(String name, int place) {
        return values.get(name)[place];
    }

    /** The values of the boundary. */
    Set<String> names() {
        return values.keySet();
    }

    /**
     * Puts a batch together; rows behind it are zeros.
     *
     * @param places in the split
     * @param buffers a direct buffer a boundary value, batch x floats
     */
    void fill(int[] places, Map<String, FloatBuffer> buffers, int[] targets) {
        for (Map.Entry<String, float[][]> e : values.entrySet()) {
            FloatBuffer buffer = buffers.get(e.getKey()).clear();
            for (int place : places) {
                buffer.put(e.getValue()[place]);
            }
            while (buffer.hasRemaining()) {
                buffer.put(0);
            }
            buffer.flip();
        }
        for (int row = 0; row < targets.length; row++) {
            targets[row] = row < places.length ? samples.get(places[row]).label() : 0;
        }
    }
}
