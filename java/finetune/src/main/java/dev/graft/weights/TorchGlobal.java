package dev.graft.weights;

import java.util.HashMap;
import java.util.Map;

/**
 * A Python name that a checkpoint may use, and what it stands for; nothing else is ever looked up.
 *
 * @param name  module and name, as in {@code torch._utils._rebuild_tensor_v2}
 * @param kind  what it is
 * @param dtype element type of a storage class or a torch dtype; null for the rest
 */
record TorchGlobal(String name, Kind kind, Dtype dtype) {
    /** What a name stands for. */
    enum Kind {
        STORAGE, DTYPE, ORDERED_DICT, DICT, COLLECTION, TYPE,
        TENSOR_V1, TENSOR_V2, TENSOR_V3, TENSOR_WITH_ATTRIBUTES, PARAMETER,
        SIZE, DEVICE, NUMPY_DTYPE, NUMPY_SCALAR, ENCODED_BYTES
    }

    private static final Map<String, TorchGlobal> ALLOWED = new HashMap<>();

    static {
        storage(Dtype.F64, "Double", "float64", "double");
        storage(Dtype.F32, "Float", "float32", "float");
        storage(Dtype.F16, "Half", "float16", "half");
        storage(Dtype.BF16, "BFloat16", "bfloat16");
        storage(Dtype.I64, "Long", "int64", "long");
        storage(Dtype.I32, "Int", "int32", "int");
        storage(Dtype.I16, "Short", "int16", "short");
        storage(Dtype.I8, "Char", "int8");
        storage(Dtype.U8, "Byte", "uint8");
        storage(Dtype.BOOL, "Bool", "bool");
        allow(Kind.STORAGE, Dtype.U8, "torch.storage.UntypedStorage", "torch.UntypedStorage");
        allow(Kind.ORDERED_DICT, null, "collections.OrderedDict");
        allow(Kind.DICT, null, "collections.defaultdict", "builtins.dict", "__builtin__.dict");
        allow(Kind.COLLECTION, null, "builtins.set", "__builtin__.set", "builtins.frozenset", "__builtin__.frozenset",
                "builtins.list", "__builtin__.list");
        allow(Kind.TYPE, null, "torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter", "builtins.int",
                "__builtin__.int", "builtins.float", "__builtin__.float");
        allow(Kind.TENSOR_V1, null, "torch._utils._rebuild_tensor");
        allow(Kind.TENSOR_V2, null, "torch._utils._rebuild_tensor_v2");
        allow(Kind.TENSOR_V3, null, "torch._utils._rebuild_tensor_v3");
        allow(Kind.TENSOR_WITH_ATTRIBUTES, null, "torch._tensor._rebuild_from_type_v2");
        allow(Kind.PARAMETER, null, "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state");
        allow(Kind.SIZE, null, "torch.Size");
        allow(Kind.DEVICE, null, "torch.device");
        allow(Kind.NUMPY_DTYPE, null, "numpy.dtype");
        allow(Kind.NUMPY_SCALAR, null, "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar");
        allow(Kind.ENCODED_BYTES, null, "_codecs.encode");
    }

    /** The allowed global of that name, or null. */
    static TorchGlobal named(String module, String name) {
        return ALLOWED.get(module + "." + name);
    }

    private static void storage(Dtype dtype, String classPrefix, String... dtypeNames) {
        allow(Kind.STORAGE, dtype, "torch." + classPrefix + "Storage", "torch.cuda." + classPrefix + "Storage");
        for (String dtypeName : dtypeNames) {
            allow(Kind.DTYPE, dtype, "torch." + dtypeName);
        }
    }

    private static void allow(Kind kind, Dtype dtype, String... names) {
        for (String name : names) {
            ALLOWED.put(name, new TorchGlobal(name, kind, dtype));
        }
    }
}
