// cuBLASLt without a GPU: the functions that are used of it, computing as its manual says in plain loops, at once. What a caller may not
// do is an error here: a wrong attribute size, a leading dimension that is too short, operands that are less aligned than was promised.
#include "stub_cublaslt.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "number_formats.h"
#include "vendor/cublaslt_declarations.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

static graft::test::StubCublasLt stub;
static const size_t kNeeds = 1024;  // bytes of workspace

struct cublasLtMatmulDescOpaque_t {
  int32_t compute, pointers = 0, left = 0, right = 0, epilogue = 1, bias_type = -1, aux_type = -1;
  const void* bias = nullptr;
  void* aux = nullptr;
  int64_t aux_leading = 0, aux_step = 0;
};
struct cublasLtMatrixLayoutOpaque_t {
  int32_t type;
  int64_t rows, columns, leading, step = 0;
  int32_t batch = 1;
};
struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace = 0;
  uint32_t reduction = 7, alignment[4] = {256, 256, 256, 256};
};
struct cublasLtContext {};

template <class T>
static cublasStatus_t take(T& to, const void* from, size_t bytes) {
  if (!from || bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
template <class T>
static cublasStatus_t create(T** out, T value) {
  *out = new T(value);
  stub.alive++;
  return CUBLAS_STATUS_SUCCESS;
}
template <class T>
static cublasStatus_t destroy(T* it) {
  delete it;
  stub.alive--;
  return CUBLAS_STATUS_SUCCESS;
}

static double at(const void* p, int32_t type, int64_t i) {
  return type == CUDA_R_16BF ? graft::bf16_to_float(static_cast<const uint16_t*>(p)[i]) : static_cast<const float*>(p)[i];
}
static void put(void* p, int32_t type, int64_t i, double v) {
  if (type == CUDA_R_16BF) static_cast<uint16_t*>(p)[i] = graft::float_to_bf16(static_cast<float>(v));
  else static_cast<float*>(p)[i] = static_cast<float>(v);
}

EXPORT graft::test::StubCublasLt* graft_stub_cublaslt() { return &stub; }
EXPORT size_t cublasLtGetVersion() { return stub.version; }
EXPORT const char* cublasLtGetStatusString(cublasStatus_t status) { return status == CUBLAS_STATUS_SUCCESS ? "success" : "the stub refuses"; }
EXPORT cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  static cublasLtContext context;
  *handle = &context;
  return stub.starts ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
EXPORT cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute, cudaDataType_t scale) {
  if (scale != CUDA_R_32F) return CUBLAS_STATUS_INVALID_VALUE;
  cublasLtMatmulDescOpaque_t value{};
  value.compute = compute;
  return create(desc, value);
}
EXPORT cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) { return destroy(desc); }
EXPORT cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute, const void* from, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_POINTER_MODE: return take(d->pointers, from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSA: return take(d->left, from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return take(d->right, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return take(d->epilogue, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return take(d->bias, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return take(d->aux, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return take(d->aux_leading, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE: return take(d->aux_step, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE: return take(d->aux_type, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return take(d->bias_type, from, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}
EXPORT cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows, uint64_t columns, int64_t leading) {
  if (leading < static_cast<int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  cublasLtMatrixLayoutOpaque_t value{};
  value.type = type, value.rows = static_cast<int64_t>(rows), value.columns = static_cast<int64_t>(columns), value.leading = leading;
  return create(layout, value);
}
EXPORT cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) { return destroy(layout); }
EXPORT cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, const void* from, size_t bytes) {
  return attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? take(layout->batch, from, bytes) : take(layout->step, from, bytes);
}
EXPORT cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) { return create(preference, cublasLtMatmulPreferenceOpaque_t{}); }
EXPORT cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) { return destroy(preference); }
EXPORT cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t attribute, const void* from, size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return take(p->workspace, from, bytes);
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) return take(p->reduction, from, bytes);
  return take(p->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], from, bytes);
}
EXPORT cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                                     cublasLtMatrixLayout_t result, cublasLtMatmulPreference_t preference, int requested,
                                                     cublasLtMatmulHeuristicResult_t results[], int* returned) {
  *returned = 0;
  if (requested < 1) return CUBLAS_STATUS_INVALID_VALUE;
  const bool bias_fits = !(d->epilogue & 4) || stub.f32_bias || result->type == CUDA_R_32F;
  if (!stub.has_algorithm || !bias_fits || preference->workspace < kNeeds || preference->reduction & 1) return CUBLAS_STATUS_NOT_SUPPORTED;
  for (; *returned < std::min(requested, 2); (*returned)++) {  // it knows two ways
    results[*returned] = {};
    results[*returned].algo.data[0] = preference->alignment[0];
    results[*returned].workspaceSize = kNeeds;
    results[*returned].state = CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_SUCCESS;
}
EXPORT cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void* alpha, const void* a, cublasLtMatrixLayout_t la, const void* b,
                                     cublasLtMatrixLayout_t lb, const void* beta, const void* c, cublasLtMatrixLayout_t lc, void* out, cublasLtMatrixLayout_t lo,
                                     const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t bytes, cudaStream_t) {
  stub.products++;
  for (const void* p : {a, b, c, static_cast<const void*>(out)})
    if (reinterpret_cast<uintptr_t>(p) % algorithm->data[0] != 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (bytes < kNeeds || reinterpret_cast<uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  std::memset(workspace, 0xFF, kNeeds);
  const double factor = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  const int64_t m = lo->rows, n = lo->columns, k = d->left ? la->rows : la->columns;
  if ((d->left ? la->columns : la->rows) != m || (d->right ? lb->rows : lb->columns) != n || (d->right ? lb->columns : lb->rows) != k) return CUBLAS_STATUS_INVALID_VALUE;
  const bool gelu = d->epilogue & 32, relu = d->epilogue & 2, saves = d->epilogue & 128;
  if (saves && (d->aux_type != lo->type || d->aux_leading < m)) return CUBLAS_STATUS_INVALID_VALUE;
  for (int64_t matrix = 0; matrix < lo->batch; matrix++)
    for (int64_t j = 0; j < n; j++)
      for (int64_t i = 0; i < m; i++) {
        double sum = 0;
        for (int64_t l = 0; l < k; l++)
          sum += at(a, la->type, matrix * la->step + (d->left ? l + i * la->leading : i + l * la->leading)) *
                 at(b, lb->type, matrix * lb->step + (d->right ? j + l * lb->leading : l + j * lb->leading));
        const int64_t place = matrix * lo->step + i + j * lo->leading;
        double v = factor * sum;
        if (keep != 0) v += keep * at(c, lc->type, place);
        if (d->epilogue & 4) v += at(d->bias, d->bias_type < 0 ? lo->type : d->bias_type, i);
        if (saves) put(d->aux, d->aux_type, matrix * d->aux_step + i + j * d->aux_leading, v);
        if (relu && v < 0) v = 0;
        if (gelu) v = 0.5 * v * (1 + std::tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
        put(out, lo->type, place, v);
      }
  return CUBLAS_STATUS_SUCCESS;
}
