// Which instruction set the own kernels and oneDNN run with: the machine's best, or GRAFT_ISA=sse4|avx2|avx512|avx512bf16.
#pragma once
#include "core/column.h"
#include "simd/table.h"

namespace graft::cpu {

// Chosen at the first call. Throws where GRAFT_ISA names something unknown or beyond the machine.
const Simd& simd();
// Whether bf16 products run in hardware.
bool has_bf16();

inline Store store_of(DType type) {
  ensure(type == DType::F32 || type == DType::BF16, "own kernels store f32 or bf16, not ", name_of(type));
  return type == DType::BF16 ? Store::BF16 : Store::F32;
}
inline Function function_of(Activation activation) { return static_cast<Function>(activation); }
static_assert(static_cast<int>(Activation::None) == static_cast<int>(Function::None) &&
                  static_cast<int>(Activation::Silu) == static_cast<int>(Function::Silu),
              "the two lists of functions have one order");

// Bytes of scratch that a sum over rows takes: `series` sums per column.
inline size_t reduction_scratch(int64_t rows, int64_t columns, int series) {
  int64_t blocks = std::max<int64_t>(1, std::min(kReductionBlocks, (rows + kRowsPerBlock - 1) / kRowsPerBlock));
  return aligned(static_cast<size_t>(blocks * columns * series) * 12);
}

inline size_t column_sums_scratch(int64_t rows, int64_t columns) { return aligned(8 * columns) + reduction_scratch(rows, columns, 1); }

}  // namespace graft::cpu
