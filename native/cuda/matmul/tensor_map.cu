// Tensor maps by the driver's cuTensorMapEncodeTiled, which the runtime finds: nothing is linked.
#include "matmul/tensor_map.h"

namespace graft::cuda {
namespace {

void require_aligned(const void* address, const char* what) {
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0)
    throw Error(GRAFT_INVALID_ARGUMENT, text(what, " must begin at a multiple of 16 bytes for TMA, not at ", address));
}

}  // namespace

#if defined(__CUDACC__)
namespace {

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*, const cuuint32_t*, const cuuint32_t*,
                            CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

Encode encoder() {
  static const Encode found = [] {
    void* f = nullptr;
    cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000, cudaEnableDefault, &result);
    if (status != cudaSuccess) cudaGetLastError();  // it would be told again after the next launch
    return status == cudaSuccess && result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(f) : nullptr;
  }();
  return found;
}

}  // namespace

bool has_tensor_maps() { return encoder() != nullptr; }

TensorMap tensor_map(const MapShape& s, const void* address, const char* what) {
  require_aligned(address, what);
  const cuuint64_t size[3] = {static_cast<cuuint64_t>(s.size[0]), static_cast<cuuint64_t>(s.size[1]), static_cast<cuuint64_t>(s.size[2])};
  const cuuint64_t step[2] = {static_cast<cuuint64_t>(s.step[0]), static_cast<cuuint64_t>(s.step[1])};
  const cuuint32_t box[3] = {static_cast<cuuint32_t>(s.box[0]), static_cast<cuuint32_t>(s.box[1]), 1}, every[3] = {1, 1, 1};
  TensorMap map;
  const CUresult result = encoder()(&map, s.element == 2 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 3, const_cast<void*>(address), size,
                                    step, box, every, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                    CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    throw Error(GRAFT_INTERNAL, text("the driver makes no tensor map of ", what, ", ", s.size[0], " x ", s.size[1], " x ", s.size[2], ": error ", static_cast<int>(result)));
  return map;
}

#else

bool has_tensor_maps() { return true; }

TensorMap tensor_map(const MapShape& s, const void* address, const char* what) {
  require_aligned(address, what);
  TensorMap map{const_cast<void*>(address), {s.size[0], s.size[1], s.size[2]}, {s.step[0], s.step[1]}, {s.box[0], s.box[1]}, s.element};
  return map;
}

#endif

}  // namespace graft::cuda
