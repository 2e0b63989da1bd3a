package dev.graft.weights;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The objects that torch.save puts into a pickle: what the allowed globals do when called, described instead of run. The
 * source of the argument lists is torch/_utils.py and torch/serialization.py.
 */
final class TorchObjects {
    private static final int MOST_ENTRIES = 1_000_000;

    private final Map<String, TorchStorage> storages = new HashMap<>();
    private int entries;

    /** An object of no interest that may stand in a checkpoint: a device, a NumPy scalar. */
    record Other(String description) {
    }

    Object global(String module, String name, PickleInput in) {
        TorchGlobal global = TorchGlobal.named(module, name);
        if (global == null) {
            throw in.failure("refused the global " + Messages.oneLine(module + "." + name)
                    + ": not on the list of what a state dict may use (save model.state_dict() alone)");
        }
        return global;
    }

    Object call(Object function, Object[] arguments, PickleInput in) {
        if (!(function instanceof TorchGlobal global)) {
            throw in.failure("REDUCE calls what is no global");
        }
        return switch (global.kind()) {
            case ORDERED_DICT -> dictionary(true, arguments, global, in);
            case DICT -> dictionary(false, arguments, global, in);
            case COLLECTION -> collection(arguments, global, in);
            case TENSOR_V1, TENSOR_V2, TENSOR_V3 -> tensor(global, arguments, in);
            case TENSOR_WITH_ATTRIBUTES -> tensorWithAttributes(global, arguments, in);
            case PARAMETER -> argument(TorchTensor.class, arguments, 0, global, in);
            case SIZE -> argument(PickleTuple.class, arguments, 0, global, in);
            case DEVICE -> new Other("device " + argument(String.class, arguments, 0, global, in));
            case NUMPY_DTYPE -> new Other("NumPy dtype");
            case NUMPY_SCALAR -> new Other("NumPy scalar");
            case ENCODED_BYTES -> new Other("bytes");
            case STORAGE, DTYPE, TYPE -> throw in.failure("refused the call of " + global.name());
        };
    }

    /** BUILD gives attributes to an object; only those of state dicts and NumPy dtypes, which are dropped. */
    void build(Object target, Object state, PickleInput in) {
        boolean allowed = target instanceof PickleDict dict && dict.ordered && state instanceof PickleDict
                || target instanceof Other && state instanceof PickleTuple;
        if (!allowed) {
            throw in.failure("refused the instruction BUILD on " + PickleText.describe(target));
        }
    }

    /** A persistent identifier: {@code ('storage', class, key, location, elements[, view])}. */
    Object persistent(Object id, PickleInput in) {
        if (!(id instanceof PickleTuple tuple) || tuple.size() == 0) {
            throw in.failure("refused a persistent identifier of the form " + PickleText.describe(id));
        }
        Object[] items = tuple.items;
        if ("module".equals(items[0])) {
            throw in.failure("a whole pickled module, not a state dict; save model.state_dict() instead");
        }
        if (!"storage".equals(items[0]) || items.length < 5 || items.length > 6) {
            throw in.failure("refused a persistent identifier of the kind " + PickleText.describe(items[0]));
        }
        if (!(items[1] instanceof TorchGlobal type) || type.kind() != TorchGlobal.Kind.STORAGE
                || !(items[2] instanceof String key) || !(items[4] instanceof Long elements) || elements < 0) {
            throw in.failure("a storage that is not described by class, key, place and number of elements");
        }
        Object view = items.length == 6 ? items[5] : null;
        if (view == null) {
            return seen(new TorchStorage(key, type.dtype(), elements, elements, 0), in);
        }
        if (!(view instanceof PickleTuple v) || v.size() != 3 || !(v.items[1] instanceof Long first) || first < 0
                || !(v.items[2] instanceof Long count) || count < 0 || first > elements || count > elements - first) {
            throw in.failure("a view of a storage that does not lie within it");
        }
        return seen(new TorchStorage(key, type.dtype(), elements, count, first), in);
    }

    /** One storage of each key that the pickles named so far. */
    Map<String, TorchStorage> storages() {
        return storages;
    }

    private TorchStorage seen(TorchStorage storage, PickleInput in) {
        TorchStorage before = storages.putIfAbsent(storage.key(), storage);
        if (before != null && (before.dtype() != storage.dtype() || before.whole() != storage.whole())) {
            throw in.failure("storage " + Messages.quoted(storage.key()) + " is described once as " + before.whole() + " "
                    + before.dtype() + " and once as " + storage.whole() + " " + storage.dtype());
        }
        return storage;
    }

    private static TorchTensor tensor(TorchGlobal global, Object[] arguments, PickleInput in) {
        TorchStorage storage = argument(TorchStorage.class, arguments, 0, global, in);
        long offset = argument(Long.class, arguments, 1, global, in);
        long[] dims = longs(argument(PickleTuple.class, arguments, 2, global, in), global, in);
        long[] strides = longs(argument(PickleTuple.class, arguments, 3, global, in), global, in);
        Dtype dtype = storage.dtype();
        if (global.kind() == TorchGlobal.Kind.TENSOR_V3) {
            TorchGlobal type = argument(TorchGlobal.class, arguments, 6, global, in);
            if (type.kind() != TorchGlobal.Kind.DTYPE) {
                throw in.failure(global.name() + " with " + type.name() + " for a dtype");
            }
            dtype = type.dtype();
        }
        return TorchTensor.of(storage, dtype, offset, dims, strides, in);
    }

    private TorchTensor tensorWithAttributes(TorchGlobal global, Object[] arguments, PickleInput in) {
        TorchGlobal inner = argument(TorchGlobal.class, arguments, 0, global, in);
        boolean rebuilds = switch (inner.kind()) {
            case TENSOR_V1, TENSOR_V2, TENSOR_V3, PARAMETER -> true;
            default -> false;
        };
        if (!rebuilds) {
            throw in.failure("refused the call of " + inner.name() + " by " + global.name());
        }
        return (TorchTensor) call(inner, argument(PickleTuple.class, arguments, 2, global, in).items, in);
    }

    private PickleDict dictionary(boolean ordered, Object[] arguments, TorchGlobal global, PickleInput in) {
        PickleDict dict = new PickleDict(ordered);
        boolean factory = arguments.length == 1 && arguments[0] instanceof TorchGlobal;   // of a defaultdict; never called
        if (arguments.length > 0 && !factory) {
            List<?> pairs = argument(List.class, arguments, 0, global, in);
            entries += pairs.size();
            if (entries > MOST_ENTRIES) {
                throw in.failure("more than " + MOST_ENTRIES + " entries of dictionaries made from lists");
            }
            for (Object pair : pairs) {
                Object[] entry = pair instanceof PickleTuple t ? t.items : pair instanceof List<?> l ? l.toArray() : new Object[0];
                if (entry.length != 2 || entry[0] instanceof List || entry[0] instanceof PickleDict) {
                    throw in.failure(global.name() + " of what are no pairs of key and value");
                }
                dict.entries.put(entry[0], entry[1]);
            }
        }
        return dict;
    }

    /** A set or list made from a list is that list: a copy of it at each call could outgrow memory. */
    private static List<?> collection(Object[] arguments, TorchGlobal global, PickleInput in) {
        return arguments.length == 0 ? new ArrayList<>() : argument(List.class, arguments, 0, global, in);
    }

    private static long[] longs(PickleTuple tuple, TorchGlobal global, PickleInput in) {
        if (tuple.size() > TorchTensor.MOST_AXES) {
            throw in.failure("a tensor of " + tuple.size() + " axes, at most " + TorchTensor.MOST_AXES + " are read");
        }
        long[] values = new long[tuple.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = argument(Long.class, tuple.items, i, global, in);
        }
        return values;
    }

    private static <T> T argument(Class<T> type, Object[] arguments, int index, TorchGlobal global, PickleInput in) {
        if (index >= arguments.length || !type.isInstance(arguments[index])) {
            throw in.failure("argument " + index + " of " + global.name() + " is "
                    + (index >= arguments.length ? "missing" : PickleText.describe(arguments[index])));
        }
        return type.cast(arguments[index]);
    }
}
