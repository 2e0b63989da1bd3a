// Tensor maps: what TMA knows of a matrix in memory, and the boxes that it moves of it.
#pragma once
#include "kernels.h"
#include "matmul/wgmma.cuh"

namespace graft::cuda {

// Of three axes, the contiguous one first: elements along each, bytes from one to the next along the second and third, elements of a box
// along the first two; a box has one element along the third. What a box has beyond the tensor is read as zero and not written.
struct MapShape {
  int64_t size[3], step[2];
  int box[2];
  int element;  // bytes of one: 2 for bf16, 4 for F32
};

// Whether TMA takes it, with the 128-byte swizzle: axes to 2^32, steps a multiple of 16 bytes and below 2^40, boxes to 256 and 128 bytes wide.
inline bool is_map(const MapShape& s) {
  for (int64_t size : s.size)
    if (size < 1 || size > int64_t{1} << 32) return false;
  for (int64_t step : s.step)
    if (step < 16 || step % 16 != 0 || step >= int64_t{1} << 40) return false;
  return s.box[0] * s.element == static_cast<int>(kRowBytes) && s.box[1] >= 1 && s.box[1] <= 256;
}

// A factor: `extent` along m or n, `line` elements from one line to the next, `step` from one matrix to the next (0: one for all).
inline MapShape factor_map(bool along_k, int64_t extent, int64_t k, int64_t line, int64_t batch, int64_t step, int rows) {
  const int64_t inner = along_k ? k : extent, outer = along_k ? extent : k;
  const bool one = batch == 1 || step == 0;
  return {{inner, outer, one ? 1 : batch}, {2 * line, one ? 2 * line * outer : 2 * step}, {64, rows}, 2};
}
// The result and what lies as it does, moved by boxes of a consumer.
inline MapShape result_map(int64_t m, int64_t n, int64_t row, int64_t layers, int64_t step, int element) {
  return {{n, m, layers}, {row * element, (layers == 1 ? row * m : step) * element}, {static_cast<int>(kRowBytes) / element, kGroupRows}, element};
}

// Whether the driver makes tensor maps.
bool has_tensor_maps();
// Throws where the address is not a multiple of 16; `what` names it.
TensorMap tensor_map(const MapShape& shape, const void* address, const char* what);

}  // namespace graft::cuda
