// Tiles of a bf16 factor in shared memory: fetched by copies that run by themselves, read as fragments of mma.m16n8k16. x is the axis
// of the factor that stays, l the one that is summed over. A tile's lines are those of memory: along l (kAlongL) or along x. A line is
// 16 bytes longer than its numbers, so that the eight lines of a fragment's matrix lie in different banks.
#pragma once
#include "operands.cuh"
#include "tensor_core.cuh"

namespace graft::cuda {

constexpr int kDepth = 32;  // l of a tile

// A factor in memory: number (x, l) of matrix i lies at i * step + x * line + l, or l * line + x.
struct Lines {
  const Bf16* p;
  int64_t line, step;
  bool whole;  // lines begin at multiples of 16 bytes
};

template <int kExtent, bool kAlongL>
struct Tile {
  static constexpr int kLength = kAlongL ? kDepth : kExtent, kLines = kAlongL ? kExtent : kDepth, kStride = kLength + 8, kElements = kLines * kStride;

  // Numbers from (x, l) on; those behind the ends are 0. from: the matrix.
  template <int kThreads>
  __device__ static void fetch(Bf16* tile, const Lines& lines, const Bf16* from, int64_t x, int64_t x_end, int64_t l, int64_t l_end) {
    const int64_t first = kAlongL ? x : l, at = kAlongL ? l : x;
    const int64_t lines_left = (kAlongL ? x_end : l_end) - first, length_left = (kAlongL ? l_end : x_end) - at;
    const int count = lines_left < kLines ? static_cast<int>(lines_left) : kLines, length = length_left < kLength ? static_cast<int>(length_left) : kLength;
    const Bf16* start = from + first * lines.line + at;
    if (lines.whole) {
      constexpr int kChunks = kLength / 8;
      static_assert(kLines * kChunks % kThreads == 0, "every thread copies as often");
#pragma unroll
      for (int i = 0; i < kLines * kChunks / kThreads; i++) {
        const int e = static_cast<int>(threadIdx.x) + i * kThreads, y = e / kChunks, z = e % kChunks * 8;
        const int left = y < count ? length - z : 0, bytes = left <= 0 ? 0 : left < 8 ? 2 * left : 16;
        copy_later(tile + y * kStride + z, bytes ? start + y * lines.line + z : from, bytes);
      }
    } else {
#pragma unroll 4
      for (int e = static_cast<int>(threadIdx.x); e < kLines * kLength; e += kThreads) {
        const int y = e / kLength, z = e % kLength;
        tile[y * kStride + z] = y < count && z < length ? start[y * lines.line + z] : Bf16{0};
      }
    }
  }

  // The address that this lane gives for four 8 x 8 matrices from (x, l) on: of a left factor 16 x by 16 l in the order that multiply
  // wants them, of a right one 16 x by 16 l as the pairs of two products.
  template <bool kLeft>
  __device__ static const Bf16* lane_address(const Bf16* tile, int x) {
    const int lane = static_cast<int>(threadIdx.x) % 32, row = lane % 8, second = lane / 8 % 2 * 8, third = lane / 16 * 8;
    const int own_x = x + (kLeft ? second : third) + (kAlongL ? row : 0), own_l = (kLeft ? third : second) + (kAlongL ? 0 : row);
    return tile + (kAlongL ? own_x * kStride + own_l : own_l * kStride + own_x);
  }
  // x, l: from the address on.
  __device__ static void fragment(uint32_t (&r)[4], const Bf16* address, int x, int l) {
    const Bf16* at = address + (kAlongL ? x * kStride + l : l * kStride + x);
    if (kAlongL) load_matrices(r, at);
    else load_matrices_transposed(r, at);
  }
};

}  // namespace graft::cuda
