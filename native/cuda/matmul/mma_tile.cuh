// Tiles of a factor in shared memory: fetched by copies that run by themselves, read as fragments of mma.m16n8k16 (bf16) or, rounded to
// TF32, of mma.m16n8k8 (F32). x is the axis of the factor that stays, l the one that is summed over. A tile's lines are those of memory:
// along l (kAlongL) or along x. A line is a little longer than its numbers, so that what a warp reads at once lies in different banks.
#pragma once
#include "operands.cuh"
#include "tensor_core.cuh"

namespace graft::cuda {

// A factor of T in memory: number (x, l) of matrix i lies at i * step + x * line + l, or l * line + x.
struct Lines {
  const void* p;
  int64_t line, step;
  bool whole;  // lines begin at multiples of 16 bytes
  template <class T>
  __device__ const T* matrix(int64_t i) const { return static_cast<const T*>(p) + i * step; }
};

// kDepth: l of a tile. kStep: l of an instruction. kChunk: numbers of 16 bytes.
template <class T>
struct Depth {
  static constexpr int kDepth = 64 / static_cast<int>(sizeof(T)), kStep = 32 / static_cast<int>(sizeof(T)), kChunk = 16 / static_cast<int>(sizeof(T));
};

template <class T, int kExtent, bool kAlongL>
struct Tile {
  static constexpr int kDepth = Depth<T>::kDepth, kChunk = Depth<T>::kChunk, kLength = kAlongL ? kDepth : kExtent, kLines = kAlongL ? kExtent : kDepth;
  static constexpr int kStride = kLength + (kAlongL ? kChunk : 8), kElements = kLines * kStride;
  static constexpr bool kMatrices = kAlongL || sizeof(T) == 2;  // whether load_matrices brings fragments; F32 it cannot transpose

  // Numbers from (x, l) on; those behind the ends are 0. from: the matrix.
  template <int kThreads>
  __device__ static void fetch(T* tile, const Lines& lines, const T* from, int64_t x, int64_t x_end, int64_t l, int64_t l_end) {
    const int64_t first = kAlongL ? x : l, at = kAlongL ? l : x;
    const int64_t lines_left = (kAlongL ? x_end : l_end) - first, length_left = (kAlongL ? l_end : x_end) - at;
    const int count = lines_left < kLines ? static_cast<int>(lines_left) : kLines, length = length_left < kLength ? static_cast<int>(length_left) : kLength;
    const T* start = from + first * lines.line + at;
    if (lines.whole) {
      constexpr int kChunks = kLength / kChunk, kBytes = static_cast<int>(sizeof(T));
      static_assert(kLines * kChunks % kThreads == 0, "every thread copies as often");
#pragma unroll
      for (int i = 0; i < kLines * kChunks / kThreads; i++) {
        const int e = static_cast<int>(threadIdx.x) + i * kThreads, y = e / kChunks, z = e % kChunks * kChunk;
        const int left = y < count ? length - z : 0, bytes = left <= 0 ? 0 : left < kChunk ? kBytes * left : 16;
        copy_later(tile + y * kStride + z, bytes ? start + y * lines.line + z : from, bytes);
      }
    } else {
#pragma unroll 4
      for (int e = static_cast<int>(threadIdx.x); e < kLines * kLength; e += kThreads) {
        const int y = e / kLength, z = e % kLength;
        tile[y * kStride + z] = y < count && z < length ? start[y * lines.line + z] : T{0};
      }
    }
  }

  // Where this lane's numbers of 16 x by kStep l from (x, 0) on begin. With load_matrices: the address that it gives for four matrices of
  // 8 x by 16 bytes, of a left factor in the order that multiply wants them, of a right one as the pairs of two products. Without: that
  // of number (lane / 4, lane % 4), the first of its fragment.
  template <bool kLeft>
  __device__ static const T* lane_address(const T* tile, int x) {
    const int lane = static_cast<int>(threadIdx.x) % 32, row = lane % 8;
    if (!kMatrices) return tile + lane % 4 * kStride + x + lane / 4;
    const int x_part = lane / (kLeft ? 8 : 16) % 2 * 8, l_part = lane / (kLeft ? 16 : 8) % 2 * kChunk;
    return tile + (kAlongL ? (x + x_part + row) * kStride + l_part : (l_part + row) * kStride + x + x_part);
  }
  // x, l: from the address on.
  template <bool kLeft>
  __device__ static void fragment(uint32_t (&r)[4], const T* address, int x, int l) {
    const T* at = address + (kAlongL ? x * kStride + l : l * kStride + x);
    if constexpr (!kMatrices) {
#pragma unroll
      for (int i = 0; i < 4; i++) r[i] = tf32_of(at[(kLeft ? i / 2 : i % 2) * 4 * kStride + (kLeft ? i % 2 : i / 2) * 8]);
    } else {
      if (kAlongL) load_matrices(r, at);
      else load_matrices_transposed(r, at);
      if constexpr (sizeof(T) == 4) {
#pragma unroll
        for (int i = 0; i < 4; i++) r[i] = tf32_of(__uint_as_float(r[i]));
      }
    }
  }
};

}  // namespace graft::cuda
