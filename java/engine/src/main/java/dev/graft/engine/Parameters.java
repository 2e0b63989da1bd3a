package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import dev.graft.engine.binding.graft_params;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * A store of named F32 parameters with every form that plans need of them (packed, folded) and the optimizer's state.
 * Plans borrow; a frozen tensor is held once, whatever the number of plans.
 *
 * <p>Owned by the device; it owns the plans compiled over it, and closing it closes them. Safe for any number of threads:
 * reading and running plans that change nothing go on side by side; writing, and every step of a plan that updates, waits
 * for them and they for it.
 *
 * <p>The optimizer's state belongs to what is trained: plans for the same trainables share it, and a plan for others takes
 * along the state of the parameters that stay. From then on plans for the former set are refused when run.
 */
public final class Parameters implements AutoCloseable {
    private static final int FIRST_MOMENT = 0;

    final graft_params pointer = new graft_params(null);
    final Handle handle;
    private final Device device;
    private final Map<String, Declared> declared = new LinkedHashMap<>();

    /**
     * What was declared of a parameter.
     *
     * @param name its name
     * @param dims its sizes
     * @param buffer whether it is a statistic that no optimizer touches
     * @param origin where it comes from
     */
    public record Declared(String name, List<Long> dims, boolean buffer, Origin origin) {
        /** Copies the sizes and checks them. */
        public Declared {
            Objects.requireNonNull(origin, "origin of " + name);
            dims = Dims.checked(name, dims, 1);
        }

        /** Number of elements. */
        public long count() {
            return Dims.count(dims);
        }
    }

    Parameters(Device device) {
        this.device = device;
        device.handle.enter();
        try {
            Status.check(Graft.graft_params_create(device.pointer, pointer));
            graft_params freed = pointer;
            handle = new Handle("parameters", device.handle, () -> Graft.graft_params_close(freed));
        } finally {
            device.handle.exit();
        }
    }

    /** The device that holds the bytes. */
    public Device device() {
        return device;
    }

    /** Declares a parameter; it has no elements until it is written or bound to a file. */
    public Parameters declare(String name, List<Long> dims, boolean buffer, Origin origin) {
        Declared d = new Declared(name, dims, buffer, origin);
        handle.enter();
        try {
            Status.check(Graft.graft_params_declare(pointer, name, dims.size(), Dims.array(dims), buffer ? 1 : 0,
                    origin.name().toLowerCase(java.util.Locale.ROOT)));
            synchronized (declared) {
                declared.put(name, d);
            }
        } finally {
            handle.exit();
        }
        return this;
    }

    /** Declares all parameters of a graph that are not declared yet. */
    public Parameters declare(Graph graph, Origin origin) {
        for (Param p : graph.parameters()) {
            if (!contains(p.name())) {
                declare(p.name(), p.dims(), p.buffer(), origin);
            }
        }
        return this;
    }

    /**
     * Forgets a parameter and frees its bytes; the name may be declared anew.
     *
     * @throws IllegalArgumentException where an open plan reads it, or it is being trained
     */
    public void remove(String name) {
        handle.enter();
        try {
            Status.check(Graft.graft_params_remove(pointer, name));
            synchronized (declared) {
                declared.remove(name);
            }
        } finally {
            handle.exit();
        }
    }

    /** Whether a parameter is declared. */
    public boolean contains(String name) {
        synchronized (declared) {
            return declared.containsKey(name);
        }
    }

    /** All declarations, in order. */
    public List<Declared> declarations() {
        synchronized (declared) {
            return List.copyOf(declared.values());
        }
    }

    /**
     * The declaration of a parameter.
     *
     * @throws IllegalArgumentException where it is not declared
     */
    public Declared declaration(String name) {
        synchronized (declared) {
            Declared d = declared.get(name);
            if (d == null) {
                throw new IllegalArgumentException("no parameter named " + name + " is declared");
            }
            return d;
        }
    }

    /**
     * Binds a parameter to bytes of a file, which must stay as it is while this store lives: it is read whenever a plan
     * needs a form of the parameter.
     *
     * @param offset first byte in the file
     * @param dtype a float type, little-endian
     * @param fileDims sizes in the file
     * @param order {@code order[i]} is the file's axis that becomes axis i: {0, 2, 3, 1} makes OHWI of OIHW
     */
    public void fromFile(String name, Path file, long offset, DType dtype, List<Long> fileDims, int... order) {
        if (order.length != fileDims.size()) {
            throw new IllegalArgumentException(name + ": order names " + order.length + " axes, the file's tensor has "
                    + fileDims.size());
        }
        handle.enter();
        try {
            Status.check(Graft.graft_params_source_file(pointer, name, file.toAbsolutePath().toString(), offset,
                    dtype.code, fileDims.size(), Dims.array(fileDims), order));
        } finally {
            handle.exit();
        }
    }

    /** Writes all elements, row-major. */
    public void write(String name, float[] values) {
        sized(name, values.length);
        handle.enter();
        try {
            Status.check(Graft.graft_params_write(pointer, name, Direct.copy(values), values.length));
        } finally {
            handle.exit();
        }
    }

    /** Writes all elements from a direct buffer, position to limit, which stay as they are. */
    public void write(String name, FloatBuffer values) {
        sized(name, values.remaining());
        Direct.require(name, values, values.order());
        handle.enter();
        try {
            Status.check(Graft.graft_params_write(pointer, name, values, values.remaining()));
        } finally {
            handle.exit();
        }
    }

    /** All elements, row-major. */
    public float[] read(String name) {
        FloatBuffer values = Direct.floats(declaration(name).count());
        read(name, values);
        return Direct.array(values);
    }

    /** Reads all elements into a direct buffer, position to limit, which stay as they are. */
    public void read(String name, FloatBuffer values) {
        sized(name, values.remaining());
        Direct.require(name, values, values.order());
        handle.enter();
        try {
            Status.check(Graft.graft_params_read(pointer, name, values, values.remaining()));
        } finally {
            handle.exit();
        }
    }

    /**
     * The optimizer's state of a parameter that some plan has trained; rows that a plan leaves out are zero.
     *
     * @param which 0 for the momentum or first moment, 1 for the second
     */
    public float[] readMoment(String name, int which) {
        FloatBuffer values = Direct.floats(declaration(name).count());
        handle.enter();
        try {
            Status.check(Graft.graft_params_read_moment(pointer, name, moment(which), values, values.remaining()));
        } finally {
            handle.exit();
        }
        return Direct.array(values);
    }

    /**
     * The moving average of the weights of a parameter that a plan with {@link PlanOptions#average} has trained; rows that do not train
     * are as they are.
     */
    public float[] readAverage(String name) {
        FloatBuffer values = Direct.floats(declaration(name).count());
        handle.enter();
        try {
            Status.check(Graft.graft_params_read_moment(pointer, name, Graft.GRAFT_AVERAGE, values, values.remaining()));
        } finally {
            handle.exit();
        }
        return Direct.array(values);
    }

    /** Writes what {@link #readAverage} reads, to go on with a training that was stopped. */
    public void writeAverage(String name, float[] values) {
        sized(name, values.length);
        handle.enter();
        try {
            Status.check(Graft.graft_params_write_moment(pointer, name, Graft.GRAFT_AVERAGE, Direct.copy(values), values.length));
        } finally {
            handle.exit();
        }
    }

    /** Writes what {@link #readMoment} reads. */
    public void writeMoment(String name, int which, float[] values) {
        sized(name, values.length);
        handle.enter();
        try {
            Status.check(Graft.graft_params_write_moment(pointer, name, moment(which), Direct.copy(values),
                    values.length));
        } finally {
            handle.exit();
        }
    }

    /** JSON: per parameter sizes, origin and where its bytes are; per form its kind and bytes. */
    public String describe() {
        handle.enter();
        try {
            return Text.read((text, capacity, needed) -> Graft.graft_params_describe(pointer, text, capacity, needed));
        } finally {
            handle.exit();
        }
    }

    /** Closes the plans compiled over these parameters, then the store. */
    @Override
    public void close() {
        handle.close();
    }

    private void sized(String name, long count) {
        Declared d = declaration(name);
        if (count != d.count()) {
            throw new IllegalArgumentException(
                    name + " has " + d.count() + " elements " + d.dims() + ", " + count + " came");
        }
    }

    private static int moment(int which) {
        if (which != FIRST_MOMENT && which != FIRST_MOMENT + 1) {
            throw new IllegalArgumentException("moment must be 0 or 1, got " + which);
        }
        return which;
    }
}
