// Sums and largest values: within a warp, within a block, and over one axis of a tensor in two stages. The order of every sum
// depends on sizes alone, so a result is the same bits each time.
#pragma once
#include "operands.cuh"

namespace graft::cuda {

constexpr unsigned kAllLanes = 0xFFFFFFFFu;

template <class T>
__device__ __forceinline__ T warp_sum(T v) {
  for (int by = 16; by > 0; by /= 2) v += __shfl_xor_sync(kAllLanes, v, by);
  return v;
}

__device__ __forceinline__ float warp_max(float v) {
  for (int by = 16; by > 0; by /= 2) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, by));
  return v;
}

// Of all threads of a block of whole warps; every thread gets it.
template <class T>
__device__ T block_sum(T v) {
  GRAFT_SHARED(T, parts, 32);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  v = warp_sum(v);
  __syncthreads();  // an earlier call's parts have been read
  if (lane == 0) parts[warp] = v;
  __syncthreads();
  return warp_sum(lane < blockDim.x / 32 ? parts[lane] : T(0));
}

__device__ __forceinline__ float block_max(float v) {
  GRAFT_SHARED(float, parts, 32);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  v = warp_max(v);
  __syncthreads();
  if (lane == 0) parts[warp] = v;
  __syncthreads();
  return warp_max(parts[lane < blockDim.x / 32 ? lane : 0]);
}

// The threads that work on one row: a warp of a block of several, or a whole block.
template <bool kWarp>
struct Team {
  int64_t row;
  unsigned rank, size;
  __device__ Team() {
    if (kWarp) {
      row = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
      rank = threadIdx.x % 32;
      size = 32;
    } else {
      row = blockIdx.x;
      rank = threadIdx.x;
      size = blockDim.x;
    }
  }
  __device__ float sum(float v) const { return kWarp ? warp_sum(v) : block_sum(v); }
  __device__ float max(float v) const { return kWarp ? warp_max(v) : block_max(v); }
};

constexpr int64_t kWarpColumns = 1024;  // up to here a warp takes a row

inline LaunchShape rows_shape(const Device& d, int64_t rows, int64_t columns) {
  if (columns <= kWarpColumns) return {ceil_div(rows, 4), 128, 0, d.stream};
  return {rows, kThreads, 0, d.stream};
}

// A tensor [a, b, c] that is summed over b.
struct SumShape {
  int64_t a, b, c;
  int64_t chunk, chunks;  // of b: how many a block takes, and how many blocks
  SumShape(int64_t a, int64_t b, int64_t c) : a(a), b(b), c(c) {
    chunk = b <= 64 ? b : b <= 16384 ? 64 : ceil_div(b, 256);
    chunks = ceil_div(b, chunk > 0 ? chunk : 1);
  }
  size_t scratch(int sums) const { return aligned(4 * static_cast<size_t>(sums * a * chunks * c)); }
};

constexpr int kSumColumns = 32, kSumRows = 8;  // of a block of 256

// Stage one: value(a, b, c, v) gives K numbers of an element; partial[k][a][chunk][c] takes their sums.
template <int K, class Value>
__global__ void __launch_bounds__(kThreads) sum_chunks(SumShape s, Divisor column_blocks, const __grid_constant__ Value value, float* partial) {
  GRAFT_SHARED(float, tile, K * kThreads);
  const int x = static_cast<int>(threadIdx.x) % kSumColumns, y = static_cast<int>(threadIdx.x) / kSumColumns;
  const int64_t a = blockIdx.x / column_blocks, c = blockIdx.x % column_blocks * kSumColumns + x;
  const int64_t begin = blockIdx.y * s.chunk, end = begin + s.chunk < s.b ? begin + s.chunk : s.b;
  float sums[K] = {};
  if (c < s.c)
    for (int64_t b = begin + y; b < end; b += kSumRows) {
      float v[K];
      value(a, b, c, v);
      for (int k = 0; k < K; k++) sums[k] += v[k];
    }
  for (int k = 0; k < K; k++) tile[(k * kSumRows + y) * kSumColumns + x] = sums[k];
  __syncthreads();
  if (y >= K || c >= s.c) return;
  for (int k = y; k < K; k += kSumRows) {
    float sum = 0;
    for (int i = 0; i < kSumRows; i++) sum += tile[(k * kSumRows + i) * kSumColumns + x];
    partial[((k * s.a + a) * s.chunks + blockIdx.y) * s.c + c] = sum;
  }
}

// Stage two: finish(a * C + c, sums).
template <int K, class Finish>
__global__ void __launch_bounds__(kThreads) sum_partials(SumShape s, Divisor size_c, const float* partial, const __grid_constant__ Finish finish) {
  const int64_t i = global_thread();
  if (i >= s.a * s.c) return;
  const int64_t a = i / size_c, c = i % size_c;
  double sums[K] = {};
  for (int k = 0; k < K; k++)
    for (int64_t chunk = 0; chunk < s.chunks; chunk++) sums[k] += partial[((k * s.a + a) * s.chunks + chunk) * s.c + c];
  finish(i, sums);
}

template <int K, class Value, class Finish>
void middle_sums(const Device& d, const SumShape& s, float* partial, const Value& value, const Finish& finish) {
  LaunchShape first{s.a * ceil_div(s.c, kSumColumns), kThreads, 0, d.stream};
  first.rows = s.chunks;
  launch(sum_chunks<K, Value>, first, s, ceil_div(s.c, kSumColumns), value, partial);
  launch(sum_partials<K, Finish>, {ceil_div(s.a * s.c, kThreads), kThreads, 0, d.stream}, s, s.c, static_cast<const float*>(partial), finish);
}

}  // namespace graft::cuda
