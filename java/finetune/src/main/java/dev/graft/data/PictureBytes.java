package dev.graft.data;

import java.nio.ByteBuffer;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.ObjIntConsumer;

/**
 * The pictures of a split as a pipeline prepares them, as bytes of one size, for memory that keeps them all. What is at random is
 * left to who reads them: {@link Pipeline#window}.
 */
public final class PictureBytes {
    private final Split split;
    private final Pipeline pipeline;
    private final DecodedCache cache;
    private final int width;
    private final int height;

    private PictureBytes(Split split, Pipeline pipeline, DecodedCache cache, Picture first) {
        this.split = split;
        this.pipeline = pipeline;
        this.cache = cache;
        this.width = first.width();
        this.height = first.height();
    }

    /** Of the size of the split's first picture; throws what decoding it throws. */
    public static PictureBytes of(Split split, Pipeline pipeline, DecodedCache cache) {
        return new PictureBytes(split, pipeline, cache, prepared(split.samples().get(0), split, pipeline, cache));
    }

    /** Pixels in a row. */
    public int width() {
        return width;
    }

    /** Rows of pixels. */
    public int height() {
        return height;
    }

    /** Bytes of one picture. */
    public int bytes() {
        return 3 * width * height;
    }

    /**
     * Decodes every picture and hands its bytes over with its place in the split, one call at a time, in any order. The buffer is direct and
     * used again.
     *
     * @return null, or what makes it impossible: a picture of another size, or one that cannot be read
     */
    public String each(int threads, ObjIntConsumer<ByteBuffer> put) {
        AtomicReference<String> failed = new AtomicReference<>();
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        ByteBuffer buffer = ByteBuffer.allocateDirect(bytes());
        Semaphore room = new Semaphore(4 * threads);  // pictures decoded and not handed over are few
        ExecutorService workers = Executors.newFixedThreadPool(threads);
        try {
            for (int i = 0; i < split.size() && failed.get() == null && thrown.get() == null; i++) {
                int place = i;
                room.acquireUninterruptibly();
                workers.execute(() -> {
                    try {
                        String reason = hand(place, buffer, put);
                        failed.compareAndSet(null, reason);
                    } catch (RuntimeException | Error e) {
                        thrown.compareAndSet(null, e);
                    } finally {
                        room.release();
                    }
                });
            }
            room.acquireUninterruptibly(4 * threads);
        } finally {
            workers.shutdown();
        }
        if (thrown.get() instanceof Error error) {
            throw error;
        }
        if (thrown.get() != null) {
            throw (RuntimeException) thrown.get();
        }
        return failed.get();
    }

    private String hand(int place, ByteBuffer buffer, ObjIntConsumer<ByteBuffer> put) {
        Sample sample = split.samples().get(place);
        Picture picture;
        try {
            picture = prepared(sample, split, pipeline, cache);
        } catch (UnreadablePicture damage) {
            return damage.getMessage();
        }
        if (picture.width() != width || picture.height() != height) {
            return sample.path() + " is " + picture.width() + "x" + picture.height() + ", the first picture " + width + "x" + height;
        }
        synchronized (buffer) {
            pipeline.bytes(picture, buffer.clear());
            put.accept(buffer.flip(), place);
        }
        return null;
    }

    /** As the pipeline prepares it, from the cache where it is there. */
    static Picture prepared(Sample sample, Split split, Pipeline pipeline, DecodedCache cache) {
        Picture picture = cache.find(sample.id());
        if (picture == null) {
            picture = pipeline.prepare(split.decode(sample));
            cache.keep(sample.id(), picture);
        }
        return picture;
    }
}
