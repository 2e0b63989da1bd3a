package dev.graft.engine;

import java.lang.ref.Cleaner;
import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The life of one native object: open, in use by some threads, closed. A parent closes its children first, newest first.
 * An object that is lost without being closed is reported to the log {@code dev.graft.engine} and freed.
 *
 * <p>Safe for any number of threads. Entering and leaving allocate nothing.
 */
final class Handle {
    private static final System.Logger LOG = System.getLogger("dev.graft.engine");
    private static final Cleaner CLEANER = Cleaner.create();
    private static final int CLOSED = -1;

    private final String what;
    private final Handle parent;
    private final List<WeakReference<Handle>> children = new ArrayList<>();
    // Calls running now, or CLOSED.
    private final AtomicInteger users = new AtomicInteger();
    private final Cleaner.Cleanable cleanable;
    private final Release release;

    /** Frees the native object; must not hold the handle, or it would never be found lost. */
    private static final class Release implements Runnable {
        private final String what;
        private final Runnable free;
        private volatile boolean closed;

        Release(String what, Runnable free) {
            this.what = what;
            this.free = free;
        }

        @Override
        public void run() {
            if (!closed) {
                LOG.log(System.Logger.Level.WARNING, "{0} was lost without close(); its memory is freed now", what);
            }
            free.run();
        }
    }

    /**
     * A new open object.
     *
     * @param what how messages call it
     * @param parent closes this one when it closes; null at the root
     * @param free frees the native object; holds no reference to the owner
     */
    Handle(String what, Handle parent, Runnable free) {
        this.what = what;
        this.parent = parent;
        this.release = new Release(what, free);
        this.cleanable = CLEANER.register(this, release);
        if (parent != null) {
            parent.adopt(this);
        }
    }

    private void adopt(Handle child) {
        synchronized (children) {
            children.removeIf(c -> c.get() == null);
            children.add(new WeakReference<>(child));
        }
    }

    /** Marks a call that others may run beside. */
    void enter() {
        for (int n = users.get(); ; n = users.get()) {
            if (n == CLOSED) {
                throw closed();
            }
            if (users.compareAndSet(n, n + 1)) {
                return;
            }
        }
    }

    /** Marks a call of an object that one thread uses at a time. */
    void enterAlone() {
        if (!users.compareAndSet(0, 1)) {
            throw users.get() == CLOSED ? closed()
                    : new IllegalStateException(what + " is in use by another thread; each thread needs a session of its own");
        }
    }

    /** Ends a call. Also keeps this object reachable until here, so that the Cleaner cannot run during a call. */
    void exit() {
        users.decrementAndGet();
    }

    boolean isClosed() {
        return users.get() == CLOSED;
    }

    /**
     * Closes children and then the object. Does nothing when closed before.
     *
     * @throws IllegalStateException where a call is running; what is not closed by then stays open
     */
    void close() {
        List<WeakReference<Handle>> own;
        synchronized (children) {
            own = List.copyOf(children);
        }
        for (int i = own.size() - 1; i >= 0; i--) {
            Handle child = own.get(i).get();
            if (child != null) {
                child.close();
            }
        }
        if (users.compareAndSet(0, CLOSED)) {
            release.closed = true;
            cleanable.clean();
            if (parent != null) {
                parent.disown(this);
            }
        } else if (users.get() != CLOSED) {
            throw new IllegalStateException(what + " cannot be closed while a call is running");
        }
    }

    private void disown(Handle child) {
        synchronized (children) {
            children.removeIf(c -> c.get() == null || c.get() == child);
        }
    }

    private IllegalStateException closed() {
        return new IllegalStateException(what + " is closed");
    }

    @Override
    public String toString() {
        return what;
    }
}
