// cuBLASLt as this process has it.
#pragma once
#include <memory>
#include <string>

#include "kernels.h"
#include "vendor/cublaslt_declarations.h"

namespace graft::cuda {

struct CublasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmul) matmul;
  cublasLtHandle_t handle = nullptr;  // of one device, for as long as the process lives
  std::string version, path;
};

// Opens the library and refuses versions other than 12 and 13: throws UNAVAILABLE with one line. The handle is the current device's.
std::unique_ptr<CublasLt> open_cublaslt();

// The library with a handle for this device, opened once; null where there is none, and then `reason` says why.
const CublasLt* cublaslt(const Device& device, std::string* reason = nullptr);

// A product by cuBLASLt, with bias, ReLU or GELU (tanh), residual and accumulation in its epilogue; an own kernel applies other activations
// to what it stored. Operands are aligned to 16 bytes. `rank` counts the ways that its heuristic names, the best first; null beyond the last.
std::unique_ptr<Kernel> make_cublaslt_product(const Device& device, const ProductRequest& request, int rank = 0);

}  // namespace graft::cuda
