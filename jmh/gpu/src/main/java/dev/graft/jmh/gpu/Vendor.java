package dev.graft.jmh.gpu;

import static org.bytedeco.cuda.global.cublas.CUBLASLT_EPILOGUE_GELU_BIAS;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_DESC_BIAS_POINTER;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_DESC_EPILOGUE;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_DESC_TRANSA;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
import static org.bytedeco.cuda.global.cublas.CUBLAS_COMPUTE_32F;
import static org.bytedeco.cuda.global.cublas.CUBLAS_GEMM_DEFAULT;
import static org.bytedeco.cuda.global.cublas.CUBLAS_OP_N;
import static org.bytedeco.cuda.global.cublas.CUBLAS_OP_T;
import static org.bytedeco.cuda.global.cublas.cublasCreate_v2;
import static org.bytedeco.cuda.global.cublas.cublasGemmEx;
import static org.bytedeco.cuda.global.cublas.cublasGetStatusString;
import static org.bytedeco.cuda.global.cublas.cublasLtCreate;
import static org.bytedeco.cuda.global.cublas.cublasLtGetVersion;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmul;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulAlgoGetHeuristic;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulDescCreate;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulDescSetAttribute;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulPreferenceCreate;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulPreferenceSetAttribute;
import static org.bytedeco.cuda.global.cublas.cublasLtMatrixLayoutCreate;
import static org.bytedeco.cuda.global.cublas.cublasSetStream_v2;
import static org.bytedeco.cuda.global.cudart.CUDA_R_16BF;
import static org.bytedeco.cuda.global.cudart.CUDA_R_32F;
import static org.bytedeco.cuda.global.cudnn.CUDNN_DATA_BFLOAT16;
import static org.bytedeco.cuda.global.cudnn.CUDNN_SOFTMAX_ACCURATE;
import static org.bytedeco.cuda.global.cudnn.CUDNN_SOFTMAX_MODE_INSTANCE;
import static org.bytedeco.cuda.global.cudnn.CUDNN_TENSOR_NHWC;
import static org.bytedeco.cuda.global.cudnn.cudnnCreate;
import static org.bytedeco.cuda.global.cudnn.cudnnCreateTensorDescriptor;
import static org.bytedeco.cuda.global.cudnn.cudnnGetErrorString;
import static org.bytedeco.cuda.global.cudnn.cudnnGetVersion;
import static org.bytedeco.cuda.global.cudnn.cudnnSetStream;
import static org.bytedeco.cuda.global.cudnn.cudnnSetTensor4dDescriptor;
import static org.bytedeco.cuda.global.cudnn.cudnnSoftmaxBackward;
import static org.bytedeco.cuda.global.cudnn.cudnnSoftmaxForward;

import dev.graft.engine.DType;
import dev.graft.engine.Memory;
import org.bytedeco.cuda.cublas.cublasContext;
import org.bytedeco.cuda.cublas.cublasLtContext;
import org.bytedeco.cuda.cublas.cublasLtMatmulDescOpaque_t;
import org.bytedeco.cuda.cublas.cublasLtMatmulHeuristicResult_t;
import org.bytedeco.cuda.cublas.cublasLtMatmulPreferenceOpaque_t;
import org.bytedeco.cuda.cublas.cublasLtMatrixLayoutOpaque_t;
import org.bytedeco.cuda.cudnn.cudnnContext;
import org.bytedeco.cuda.cudnn.cudnnTensorStruct;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;

/**
 * What NVIDIA's libraries have in place of the direct kernels, called through the CUDA presets on the same operands and stream. What is
 * created lives as long as the process, which measures one call.
 */
final class Vendor {
    private static final long WORKSPACE = 32L << 20; // bytes, as NVIDIA advises for compute capability 9.0
    private static final FloatPointer ONE = new FloatPointer(1f);
    private static final FloatPointer ZERO = new FloatPointer(0f);

    private Vendor() {}

    /** c [m, n] = a [m, k] b', b [n, k], by cublasGemmEx with sums in F32. Columns come first there: c' = b a'. */
    static Runnable gemm(Gpu gpu, int[] s, DType type) {
        cublasContext handle = new cublasContext();
        blas(cublasCreate_v2(handle));
        blas(cublasSetStream_v2(handle, gpu.stream()));
        int code = type == DType.F32 ? CUDA_R_32F : CUDA_R_16BF;
        Pointer a = gpu.pointer(gpu.normal("a", (long) s[0] * s[2], type, 1));
        Pointer b = gpu.pointer(gpu.normal("b", (long) s[1] * s[2], type, 0.05));
        Pointer c = gpu.pointer(gpu.zeros((long) s[0] * s[1], type));
        return () -> blas(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, s[1], s[0], s[2], ONE, b, code, s[2], a, code, s[2], ZERO, c, code, s[1],
                CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
    }

    /** The same with bias [n] and GELU (tanh) in its epilogue, bf16, by cublasLtMatmul and the first algorithm of its heuristic. */
    static Runnable gemmBiasGelu(Gpu gpu, int[] s) {
        cublasLtContext handle = new cublasLtContext();
        blas(cublasLtCreate(handle));
        Pointer a = gpu.pointer(gpu.normal("a", (long) s[0] * s[2], DType.BF16, 1));
        Pointer b = gpu.pointer(gpu.normal("b", (long) s[1] * s[2], DType.BF16, 0.05));
        Pointer c = gpu.pointer(gpu.zeros((long) s[0] * s[1], DType.BF16));
        Pointer bias = gpu.pointer(gpu.normal("bias", s[1], DType.BF16, 1));
        Pointer workspace = gpu.pointer(gpu.zeros(WORKSPACE, DType.U8));
        PointerPointer<Pointer> made = new PointerPointer<>(1);
        blas(cublasLtMatmulDescCreate(made, CUBLAS_COMPUTE_32F, CUDA_R_32F));
        cublasLtMatmulDescOpaque_t product = new cublasLtMatmulDescOpaque_t(made.get(0));
        attribute(product, CUBLASLT_MATMUL_DESC_TRANSA, new IntPointer(new int[] {CUBLAS_OP_T}), Integer.BYTES);
        attribute(product, CUBLASLT_MATMUL_DESC_EPILOGUE, new IntPointer(new int[] {CUBLASLT_EPILOGUE_GELU_BIAS}), Integer.BYTES);
        attribute(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, new LongPointer(new long[] {bias.address()}), Long.BYTES);
        cublasLtMatrixLayoutOpaque_t left = layout(made, s[2], s[1]);
        cublasLtMatrixLayoutOpaque_t right = layout(made, s[2], s[0]);
        cublasLtMatrixLayoutOpaque_t result = layout(made, s[1], s[0]);
        blas(cublasLtMatmulPreferenceCreate(made));
        cublasLtMatmulPreferenceOpaque_t preference = new cublasLtMatmulPreferenceOpaque_t(made.get(0));
        blas(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, new LongPointer(new long[] {WORKSPACE}), Long.BYTES));
        cublasLtMatmulHeuristicResult_t best = new cublasLtMatmulHeuristicResult_t();
        int[] found = new int[1];
        blas(cublasLtMatmulAlgoGetHeuristic(handle, product, left, right, result, result, preference, 1, best, found));
        if (found[0] == 0) {
            throw new IllegalStateException("cuBLASLt has no algorithm for the product");
        }
        return () -> blas(cublasLtMatmul(handle, product, ONE, b, left, a, right, ZERO, c, result, c, result, best.algo(), workspace, WORKSPACE, gpu.stream()));
    }

    /** Softmax of bf16 rows and its gradient by cuDNN, in two calls: what it has nearest to a cross-entropy, whose loss is not in it. */
    static Runnable softmax(Gpu gpu, int[] s) {
        cudnnContext handle = new cudnnContext();
        dnn(cudnnCreate(handle));
        dnn(cudnnSetStream(handle, gpu.stream()));
        cudnnTensorStruct rows = new cudnnTensorStruct();
        dnn(cudnnCreateTensorDescriptor(rows));
        dnn(cudnnSetTensor4dDescriptor(rows, CUDNN_TENSOR_NHWC, CUDNN_DATA_BFLOAT16, s[0], s[1], 1, 1));
        long count = (long) s[0] * s[1];
        Memory logits = gpu.normal("logits", count, DType.BF16, 1);
        Pointer x = gpu.pointer(logits);
        Pointer y = gpu.pointer(gpu.zeros(count, DType.BF16));
        Pointer dy = gpu.pointer(gpu.normal("dy", count, DType.BF16, 1));
        return () -> {
            dnn(cudnnSoftmaxForward(handle, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_INSTANCE, ONE, rows, x, ZERO, rows, y));
            dnn(cudnnSoftmaxBackward(handle, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_INSTANCE, ONE, rows, y, rows, dy, ZERO, rows, x));
        };
    }

    /** "cublaslt 130100, cudnn 92500": as the libraries tell their versions. */
    static String versions() {
        return "cublaslt " + cublasLtGetVersion() + "; cudnn " + cudnnGetVersion();
    }

    private static cublasLtMatrixLayoutOpaque_t layout(PointerPointer<Pointer> made, long rows, long columns) {
        blas(cublasLtMatrixLayoutCreate(made, CUDA_R_16BF, rows, columns, rows));
        return new cublasLtMatrixLayoutOpaque_t(made.get(0));
    }

    private static void attribute(cublasLtMatmulDescOpaque_t product, int which, Pointer value, long bytes) {
        blas(cublasLtMatmulDescSetAttribute(product, which, value, bytes));
    }

    private static void blas(int status) {
        if (status != 0) {
            throw new IllegalStateException("cuBLAS: " + cublasGetStatusString(status).getString());
        }
    }

    private static void dnn(int status) {
        if (status != 0) {
            throw new IllegalStateException("cuDNN: " + cudnnGetErrorString(status).getString());
        }
    }
}
