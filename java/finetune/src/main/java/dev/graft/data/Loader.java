package dev.graft.data;

import dev.graft.engine.Philox;
import java.util.List;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.stream.IntStream;

/**
 * Prefetches batches: threads decode the pictures of the next batch while the caller works on this one. What it delivers
 * depends on the split, the pipeline, the seed and the epoch only, never on the number of threads.
 *
 * <p>Use: {@code begin(epoch)}, then {@code next()} until it gives null; again for the next epoch; {@code close()} ends the
 * threads. Owned and called by one thread. A picture that cannot be decoded is left out of its batch and listed; when
 * more than half of a labelled split or all of a class is lost, {@code next} throws. Any other failure in a thread
 * surfaces from {@code next} with the file's name.
 */
public final class Loader implements AutoCloseable {
    private static final int SLOTS = 2;

    private final Split split;
    private final Pipeline pipeline;
    private final DecodedCache cache;
    private final int batchSize;
    private final boolean shuffled;
    private final long key;
    private final Batch[] slots = new Batch[SLOTS];
    private final int[] remaining = new int[SLOTS];
    private final Thread[] workers;
    private final Losses losses;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition work = lock.newCondition();
    private final Condition done = lock.newCondition();
    private int epoch;
    private int[] order = {};
    private int ticket;
    private int inFlight;
    private int released;
    private boolean lent;
    private boolean begun;
    private boolean closed;
    private Throwable failure;
    private long waitedNanos;

    private Loader(Split split, Pipeline pipeline, int batchSize, int threads, boolean shuffled, long seed, DecodedCache cache) {
        if (batchSize <= 0 || threads <= 0) {
            throw new IllegalArgumentException(
                    "batch size and threads must be positive, got " + batchSize + " and " + threads);
        }
        this.split = split;
        this.pipeline = pipeline;
        this.cache = cache;
        this.batchSize = batchSize;
        this.shuffled = shuffled;
        this.key = Philox.key(seed, "shuffle");
        this.losses = new Losses(split);
        for (int i = 0; i < SLOTS; i++) {
            slots[i] = new Batch(batchSize, pipeline.floats());
        }
        workers = new Thread[threads];
        for (int i = 0; i < threads; i++) {
            workers[i] = new Thread(this::work, "graft-loader-" + split.name() + "-" + i);
            workers[i].setDaemon(true);
            workers[i].start();
        }
    }

    /** Batches in an order that changes with every epoch: the permutation of (seed, epoch). */
    public static Loader shuffled(Split split, Pipeline pipeline, int batchSize, int threads, long seed, DecodedCache cache) {
        return new Loader(split, pipeline, batchSize, threads, true, seed, cache);
    }

    /** Batches in the order of the sample ids. */
    public static Loader sequential(Split split, Pipeline pipeline, int batchSize, int threads, DecodedCache cache) {
        return new Loader(split, pipeline, batchSize, threads, false, 0, cache);
    }

    /** Batches of an epoch; the last may be padded. */
    public int batches() {
        return (split.size() + batchSize - 1) / batchSize;
    }

    /**
     * Starts an epoch, dropping what is left of the one before. The epoch is the visit of every sample. The first batches
     * are prepared from here on, so that a call before other work (an evaluation) hides their time.
     */
    public void begin(int epoch) {
        lock.lock();
        try {
            requireOpen();
            ticket = order.length;
            while (inFlight > 0) {
                done.awaitUninterruptibly();
            }
            this.epoch = epoch;
            begun = true;
            order = shuffled ? Philox.permutation(key, epoch, split.size())
                    : IntStream.range(0, split.size()).toArray();
            ticket = 0;
            released = 0;
            lent = false;
            failure = null;
            for (int batch = 0; batch < SLOTS; batch++) {
                arm(batch);
            }
            work.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /**
     * The next batch, or null at the end of the epoch. Takes back the batch given before.
     *
     * @throws DataException if too many pictures are unreadable or a file cannot be read
     */
    public Batch next() {
        while (true) {
            Batch batch = take();
            if (batch == null) {
                return null;
            }
            batch.finish();
            if (batch.validRows() > 0) {
                return batch;
            }
        }
    }

    private Batch take() {
        lock.lock();
        try {
            requireOpen();
            if (!begun) {
                throw new IllegalStateException("begin an epoch before asking for its batches");
            }
            if (lent) {
                lent = false;
                released++;
                arm(released + SLOTS - 1);
                work.signalAll();
            }
            if (released == batches()) {
                return null;
            }
            int slot = released % SLOTS;
            if (remaining[slot] > 0 && failure == null) {
                long start = System.nanoTime();
                while (remaining[slot] > 0 && failure == null) {
                    done.awaitUninterruptibly();
                }
                waitedNanos += System.nanoTime() - start;
            }
            if (failure instanceof Error error) {
                throw error;
            }
            if (failure != null) {
                throw (RuntimeException) failure;
            }
            lent = true;
            return slots[slot];
        } finally {
            lock.unlock();
        }
    }

    /** How long {@link #next} has waited for pictures, in all epochs together. */
    public long waitedNanos() {
        return waitedNanos;
    }

    /** The pictures that could not be decoded so far, in order of their ids. */
    public List<Rejected> unreadable() {
        return losses.list();
    }

    private void arm(int batch) {
        if (batch < batches()) {
            remaining[batch % SLOTS] = Math.min(batchSize, order.length - batch * batchSize);
            slots[batch % SLOTS].clear();
        }
    }

    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("the loader is closed");
        }
    }

    private void work() {
        lock.lock();
        try {
            while (true) {
                while (!closed && (failure != null || ticket >= order.length || ticket / batchSize >= released + SLOTS)) {
                    work.awaitUninterruptibly();
                }
                if (closed) {
                    return;
                }
                int position = ticket++;
                Sample sample = split.samples().get(order[position]);
                int slot = position / batchSize % SLOTS;
                int visit = epoch;
                inFlight++;
                Throwable thrown = null;
                lock.unlock();
                try {
                    load(sample, visit, slots[slot], position % batchSize);
                } catch (DataException | Error known) {
                    thrown = known;
                } catch (RuntimeException unknown) {
                    thrown = new DataException(sample.path() + ": " + PictureDecoder.oneLine(unknown), unknown);
                } finally {
                    lock.lock();
                }
                inFlight--;
                remaining[slot]--;
                failure = failure == null ? thrown : failure;
                done.signalAll();
            }
        } finally {
            lock.unlock();
        }
    }

    private void load(Sample sample, int visit, Batch batch, int row) {
        if (losses.contains(sample)) {
            return;
        }
        try {
            Picture picture = PictureBytes.prepared(sample, split, pipeline, cache);
            pipeline.write(picture, sample.id(), visit, batch.pixels(), row);
            batch.fill(row, sample);
        } catch (UnreadablePicture damage) {
            losses.add(sample, damage);
        }
    }

    /** Ends the threads, after the pictures they are at. Calling it again does nothing. */
    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            work.signalAll();
        } finally {
            lock.unlock();
        }
        boolean interrupted = false;
        for (Thread worker : workers) {
            while (worker.isAlive()) {
                try {
                    worker.join();
                } catch (InterruptedException again) {
                    interrupted = true;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
