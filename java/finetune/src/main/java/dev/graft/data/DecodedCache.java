package dev.graft.data;

import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Keeps prepared 8-bit pictures by sample id, so that later epochs do not decode again. Filled until the limit and never
 * emptied: an epoch visits everything once, so replacing would only drop what is needed sooner. One cache serves one
 * dataset and pipelines that prepare alike. Safe for any number of threads.
 */
public final class DecodedCache {
    private static final int OVERHEAD = 96;

    private final long limit;
    private final AtomicLong bytes = new AtomicLong();
    private final ConcurrentHashMap<Long, Picture> pictures = new ConcurrentHashMap<>();

    /** @param limit most bytes to hold; 0 keeps nothing */
    public DecodedCache(long limit) {
        if (limit < 0) {
            throw new IllegalArgumentException("cache limit must not be negative, got " + limit);
        }
        this.limit = limit;
    }

    /** The picture, or null. */
    Picture find(long sampleId) {
        return limit == 0 ? null : pictures.get(sampleId);
    }

    void keep(long sampleId, Picture picture) {
        long size = picture.rgb().length + OVERHEAD;
        if (bytes.addAndGet(size) > limit || pictures.putIfAbsent(sampleId, picture) != null) {
            bytes.addAndGet(-size);
        }
    }

    /** Bytes held now. */
    public long bytes() {
        return bytes.get();
    }

    /** Pictures held now. */
    public int size() {
        return pictures.size();
    }
}
