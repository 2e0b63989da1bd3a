// Products by cuBLASLt. It counts columns first, so that row-major c = a b is asked for as c' = b' a'.
#include <mutex>

#include "operands.cuh"
#include "vendor/cublaslt.h"

namespace graft::cuda {

// to = activation(from), rows of n numbers that lie as a product's result.
template <class T>
struct ActivateRows {
  const T* from;
  T* to;
  Divisor n, m;
  int64_t row, step;
  Activation activation;
  float slope;
  __device__ int64_t place(int64_t i) const {
    const int64_t line = i / n;
    return line / m * step + line % m * row + i % n;
  }
  __device__ void operator()(int64_t i) const { to[place(i)] = stored<T>(activate(activation, slope, float_of(from[place(i)]))); }
  // Of a row's numbers, which are a multiple of four.
  __device__ void operator()(int64_t i, int count, bool whole) const {
    Four v = load4(from, place(i), count, whole);
#pragma unroll
    for (int e = 0; e < 4; e++) v.v[e] = activate(activation, slope, v.v[e]);
    store4(to, place(i), count, whole, v);
  }
};

namespace {

constexpr size_t kWorkspace = size_t{32} << 20;  // what NVIDIA advises for compute capability 9.0
constexpr uint32_t kAlignment = 16;              // bytes, of every operand
constexpr size_t kWorkspaceAlignment = 256;

// A factor as cuBLASLt sees it: `rows` x `columns`, columns first, `leading` apart, perhaps transposed.
struct Leading {
  uint64_t rows, columns;
  int64_t leading;
  cublasOperation_t operation;
};

// rows x columns of a row-major view with these steps becomes its transpose, columns first; false where neither axis is contiguous.
bool leading_of(const ProductRequest::Matrix& x, int64_t rows, int64_t columns, Leading& out) {
  if (x.column == 1 && (x.row >= columns || rows == 1)) {
    out = {static_cast<uint64_t>(columns), static_cast<uint64_t>(rows), std::max(x.row, columns), CUBLAS_OP_N};
    return true;
  }
  if (x.row == 1 && (x.column >= rows || columns == 1)) {
    out = {static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), std::max(x.column, rows), CUBLAS_OP_T};
    return true;
  }
  return false;
}

// Whether an own kernel must apply the activation afterwards: cuBLASLt knows ReLU and GELU by tanh, and keeps only what GELU was applied to.
bool applied_after(const ProductRequest& r) {
  const Activation activation = r.epilogue.activation;
  if (activation == Activation::None) return r.saves;
  return activation == Activation::Relu ? r.saves : activation != Activation::GeluTanh;
}

cublasLtEpilogue_t epilogue_of(const ProductRequest& r) {
  const Activation activation = applied_after(r) ? Activation::None : r.epilogue.activation;
  if (activation == Activation::Relu) return r.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
  if (activation == Activation::None) return r.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  if (r.saves) return r.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
  return r.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
}

cudaDataType_t data_type(DType type) { return type == DType::BF16 ? CUDA_R_16BF : CUDA_R_32F; }

class CublasLtProduct : public Kernel {
 public:
  CublasLtProduct(const Device& device, const CublasLt& lt, const ProductRequest& r)
      : device_(device), lt_(lt), r_(r), after_(applied_after(r)), keeps_(r.saves && !after_), numbers_(device, r.scaled ? std::vector<float>{0, 1} : std::vector<float>{}) {}
  ~CublasLtProduct() override {
    for (cublasLtMatrixLayout_t layout : {left_, right_, result_})
      if (layout) lt_.layout_destroy(layout);
    if (desc_) lt_.desc_destroy(desc_);
  }

  // Whether cuBLASLt has an algorithm for it, the one of this rank in its heuristic's order.
  bool prepare(int rank) {
    Leading left, right;
    const cublasLtEpilogue_t epilogue = epilogue_of(r_);
    if (!leading_of(r_.b, r_.k, r_.n, left) || !leading_of(r_.a, r_.m, r_.k, right)) return false;
    if (r_.c.column != 1 || (r_.c.row < r_.n && r_.m > 1) || (r_.accumulate && r_.epilogue.residual) || (r_.scaled && r_.times != 1)) return false;
    if ((r_.type == DType::F32 && r_.result != DType::F32) || r_.k2 > 0) return false;
    // TF32 where it is allowed; other permissions are not used.
    const cublasComputeType_t compute = r_.type == DType::F32 && r_.f32 == F32Product::Tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    if (lt_.desc_create(&desc_, compute, CUDA_R_32F) != CUBLAS_STATUS_SUCCESS) return false;
    bool good = set(CUBLASLT_MATMUL_DESC_TRANSA, left.operation) && set(CUBLASLT_MATMUL_DESC_TRANSB, right.operation) && set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    if (r_.scaled) good = good && set(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
    if (r_.bias) good = good && set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_32F);
    if (keeps_) {
      const int64_t row = std::max(r_.c.row, r_.n);
      good = good && set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, data_type(r_.result)) && set_wide(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, row) &&
             (r_.batch == 1 || set_wide(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, r_.c.step));
    }
    const Leading result{static_cast<uint64_t>(r_.n), static_cast<uint64_t>(r_.m), std::max(r_.c.row, r_.n), CUBLAS_OP_N};
    good = good && layout(left_, r_.type, left, r_.b.step) && layout(right_, r_.type, right, r_.a.step) && layout(result_, r_.result, result, r_.c.step);
    return good && choose(rank);
  }

  void run(const Args& args) const override {
    Current current(device_.number);
    const float factor = r_.times, none = 0, whole = 1;
    const bool adds = r_.accumulate || r_.epilogue.residual;
    const void* alpha = r_.scaled ? args.in[3] : &factor;
    const void* beta = r_.scaled ? static_cast<const void*>(numbers_.address() + (adds ? 1 : 0)) : adds ? &whole : &none;
    const void* added = r_.epilogue.residual ? args.residual : args.out[0];
    void* workspace = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(args.scratch) + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment);
    std::lock_guard<std::mutex> hold(mutex_);  // addresses of the bias and of what is saved are a part of the description
    if (r_.bias) {
      const void* bias = args.in[2];
      check(lt_.desc_set(desc_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias), "naming the bias");
    }
    if (keeps_) check(lt_.desc_set(desc_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &args.out[1], sizeof args.out[1]), "naming what is saved");
    void* result = after_ && r_.saves ? args.out[1] : args.out[0];
    check(lt_.matmul(lt_.handle, desc_, alpha, args.in[1], left_, args.in[0], right_, beta, added, result_, result, result_, &algorithm_, workspace, bytes_, device_.stream),
          "multiplying");
    if (!after_) return;
    if (r_.result == DType::BF16) activate_rows<Bf16>(result, args.out[0]);
    else activate_rows<float>(result, args.out[0]);
  }
  std::string name() const override { return text("cublaslt:", lt_.version, ":cuda", after_ ? " + own:activation:cuda" : ""); }
  size_t scratch_bytes() const override { return bytes_ ? bytes_ + kWorkspaceAlignment : 0; }

 private:
  void check(cublasStatus_t status, const char* doing) const {
    if (status != CUBLAS_STATUS_SUCCESS) throw Error(GRAFT_INTERNAL, text("cuBLASLt ", lt_.version, ", ", doing, ": ", lt_.status_string(status)));
  }
  // The enumerations are stored in 32 bits.
  template <class Value>
  bool set(cublasLtMatmulDescAttributes_t attribute, Value value) {
    const int32_t stored = static_cast<int32_t>(value);
    return lt_.desc_set(desc_, attribute, &stored, sizeof stored) == CUBLAS_STATUS_SUCCESS;
  }
  bool set_wide(cublasLtMatmulDescAttributes_t attribute, int64_t value) { return lt_.desc_set(desc_, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS; }
  bool layout(cublasLtMatrixLayout_t& out, DType type, const Leading& x, int64_t step) {
    if (lt_.layout_create(&out, data_type(type), x.rows, x.columns, x.leading) != CUBLAS_STATUS_SUCCESS) return false;
    if (r_.batch == 1) return true;
    const int32_t count = static_cast<int32_t>(r_.batch);
    return lt_.layout_set(out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count) == CUBLAS_STATUS_SUCCESS &&
           lt_.layout_set(out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step) == CUBLAS_STATUS_SUCCESS;
  }
  template <class T>
  void activate_rows(const void* from, void* to) const {
    const int64_t count = r_.batch * r_.m * r_.n;
    const ActivateRows<T> rows{static_cast<const T*>(from), static_cast<T*>(to), r_.n, r_.m, r_.c.row, r_.c.step, r_.epilogue.activation, r_.epilogue.slope};
    if ((r_.n | r_.c.row | r_.c.step) % 4 == 0) over_fours(device_, count, aligned_for_four(rows.from, rows.to), rows);
    else over_all(device_, count, rows);
  }
  // What cuBLASLt's own heuristic names at that rank. Parts of a split sum are added in F32, in a fixed order.
  bool choose(int rank) {
    cublasLtMatmulPreference_t preference = nullptr;
    if (lt_.preference_create(&preference) != CUBLAS_STATUS_SUCCESS) return false;
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      return lt_.preference_set(preference, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS;
    };
    bool good = prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspace}) &&
                prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    for (auto operand : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                         CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      good = good && prefer(operand, kAlignment);
    std::vector<cublasLtMatmulHeuristicResult_t> named(static_cast<size_t>(rank) + 1);
    int count = 0;
    good = good && lt_.heuristic(lt_.handle, desc_, left_, right_, result_, result_, preference, rank + 1, named.data(), &count) == CUBLAS_STATUS_SUCCESS;
    lt_.preference_destroy(preference);
    const cublasLtMatmulHeuristicResult_t& best = named.back();
    if (!good || count <= rank || best.state != CUBLAS_STATUS_SUCCESS) return false;
    algorithm_ = best.algo;
    bytes_ = best.workspaceSize;
    return true;
  }

  const Device& device_;
  const CublasLt& lt_;
  ProductRequest r_;
  bool after_, keeps_;    // an own kernel applies the activation; cuBLASLt keeps what it was applied to
  Table<float> numbers_;  // 0 and 1 on the device, where the factor lies there too
  cublasLtMatmulDesc_t desc_ = nullptr;
  cublasLtMatrixLayout_t left_ = nullptr, right_ = nullptr, result_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
  size_t bytes_ = 0;
  mutable std::mutex mutex_;
};

}  // namespace

std::unique_ptr<Kernel> make_cublaslt_product(const Device& device, const ProductRequest& request, int rank) {
  const CublasLt* lt = cublaslt(device);
  if (!lt || !storable(request.type) || !storable(request.result) || request.batch > INT32_MAX || request.k == 0) return nullptr;
  auto kernel = std::make_unique<CublasLtProduct>(device, *lt, request);
  return kernel->prepare(rank) ? std::move(kernel) : nullptr;
}

}  // namespace graft::cuda
