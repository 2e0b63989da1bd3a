// What is used of cuBLASLt 12 and 13: from its own header where the build has it, else declared here as that header has it. Nothing of
// it is linked. Where the header is, the compiler holds every number and prototype below to it. GRAFT_OWN_DECLARATIONS takes these even so.
#pragma once
#include "launch.h"

#define GRAFT_CUBLASLT_STATUSES(X) X(CUBLAS_STATUS_SUCCESS, 0) X(CUBLAS_STATUS_INVALID_VALUE, 7) X(CUBLAS_STATUS_NOT_SUPPORTED, 15)
#define GRAFT_CUBLASLT_OPERATIONS(X) X(CUBLAS_OP_N, 0) X(CUBLAS_OP_T, 1)
#define GRAFT_CUBLASLT_COMPUTE_TYPES(X) X(CUBLAS_COMPUTE_32F, 68) X(CUBLAS_COMPUTE_32F_FAST_TF32, 77)
#define GRAFT_CUBLASLT_POINTER_MODES(X) X(CUBLASLT_POINTER_MODE_HOST, 0) X(CUBLASLT_POINTER_MODE_DEVICE, 1)
#define GRAFT_CUBLASLT_MATRIX_LAYOUT_ATTRIBUTES(X) X(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 5) X(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 6)
#define GRAFT_CUBLASLT_MATMUL_DESC_ATTRIBUTES(X)                                             \
  X(CUBLASLT_MATMUL_DESC_POINTER_MODE, 2)                                                     \
  X(CUBLASLT_MATMUL_DESC_TRANSA, 3)                                                           \
  X(CUBLASLT_MATMUL_DESC_TRANSB, 4)                                                           \
  X(CUBLASLT_MATMUL_DESC_EPILOGUE, 7)                                                         \
  X(CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8)                                                     \
  X(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, 11)                                            \
  X(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, 12)                                                 \
  X(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, 13)                                       \
  X(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, 22)                                          \
  X(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, 26)
#define GRAFT_CUBLASLT_MATMUL_PREFERENCE_ATTRIBUTES(X)                                       \
  X(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1)                                              \
  X(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 3)                                            \
  X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 5)                                            \
  X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 6)                                            \
  X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 7)                                            \
  X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 8)
#define GRAFT_CUBLASLT_REDUCTION_SCHEMES(X) X(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 2)
#define GRAFT_CUBLASLT_EPILOGUES(X)                                                           \
  X(CUBLASLT_EPILOGUE_DEFAULT, 1)                                                             \
  X(CUBLASLT_EPILOGUE_RELU, 2)                                                                \
  X(CUBLASLT_EPILOGUE_BIAS, 4)                                                                \
  X(CUBLASLT_EPILOGUE_RELU_BIAS, 6)                                                           \
  X(CUBLASLT_EPILOGUE_GELU, 32)                                                               \
  X(CUBLASLT_EPILOGUE_GELU_BIAS, 36)                                                          \
  X(CUBLASLT_EPILOGUE_GELU_AUX, 160)                                                          \
  X(CUBLASLT_EPILOGUE_GELU_AUX_BIAS, 164)

#if defined(__CUDACC__) && !defined(GRAFT_OWN_DECLARATIONS) && __has_include(<cublasLt.h>)
#include <cublasLt.h>
#define GRAFT_CUBLASLT_ENUM(name, list) list(GRAFT_CUBLASLT_HELD)
#define GRAFT_CUBLASLT_HELD(name, number) static_assert(static_cast<int>(name) == number, #name " has another number in cuBLASLt's header");
static_assert(sizeof(cublasLtMatmulAlgo_t) == 64 && sizeof(cublasLtMatmulHeuristicResult_t) == 96, "cuBLASLt's structures have other sizes in its header");
#else
#include <cstddef>
#include <cstdint>
#if defined(__CUDACC__)
#include <library_types.h>
#else
enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_16BF = 14 };
using cudaDataType = cudaDataType_t;
#endif
#define GRAFT_CUBLASLT_ENUM(name, list) enum name : unsigned { list(GRAFT_CUBLASLT_ENUMERATOR) };
#define GRAFT_CUBLASLT_ENUMERATOR(name, number) name = number,
#endif

GRAFT_CUBLASLT_ENUM(cublasStatus_t, GRAFT_CUBLASLT_STATUSES)
GRAFT_CUBLASLT_ENUM(cublasOperation_t, GRAFT_CUBLASLT_OPERATIONS)
GRAFT_CUBLASLT_ENUM(cublasComputeType_t, GRAFT_CUBLASLT_COMPUTE_TYPES)
GRAFT_CUBLASLT_ENUM(cublasLtPointerMode_t, GRAFT_CUBLASLT_POINTER_MODES)
GRAFT_CUBLASLT_ENUM(cublasLtMatrixLayoutAttribute_t, GRAFT_CUBLASLT_MATRIX_LAYOUT_ATTRIBUTES)
GRAFT_CUBLASLT_ENUM(cublasLtMatmulDescAttributes_t, GRAFT_CUBLASLT_MATMUL_DESC_ATTRIBUTES)
GRAFT_CUBLASLT_ENUM(cublasLtMatmulPreferenceAttributes_t, GRAFT_CUBLASLT_MATMUL_PREFERENCE_ATTRIBUTES)
GRAFT_CUBLASLT_ENUM(cublasLtReductionScheme_t, GRAFT_CUBLASLT_REDUCTION_SCHEMES)
GRAFT_CUBLASLT_ENUM(cublasLtEpilogue_t, GRAFT_CUBLASLT_EPILOGUES)

#ifndef GRAFT_CUBLASLT_HELD
using cublasLtHandle_t = struct cublasLtContext*;
using cublasLtMatmulDesc_t = struct cublasLtMatmulDescOpaque_t*;
using cublasLtMatrixLayout_t = struct cublasLtMatrixLayoutOpaque_t*;
using cublasLtMatmulPreference_t = struct cublasLtMatmulPreferenceOpaque_t*;
struct cublasLtMatmulAlgo_t {
  uint64_t data[8];
};
struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
  size_t workspaceSize;
  cublasStatus_t state;
  float wavesCount;
  int reserved[4];
};
#endif

extern "C" {
cublasStatus_t cublasLtCreate(cublasLtHandle_t*);
size_t cublasLtGetVersion();
const char* cublasLtGetStatusString(cublasStatus_t);
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t*, cublasComputeType_t, cudaDataType_t);
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t);
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t, const void*, size_t);
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t*, cudaDataType, uint64_t rows, uint64_t cols, int64_t ld);
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t);
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t, cublasLtMatrixLayoutAttribute_t, const void*, size_t);
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t*);
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t);
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t, const void*, size_t);
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned);
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t, const void* alpha, const void* a, cublasLtMatrixLayout_t,
                              const void* b, cublasLtMatrixLayout_t, const void* beta, const void* c, cublasLtMatrixLayout_t, void* d,
                              cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t*, void* workspace, size_t bytes, cudaStream_t);
}
