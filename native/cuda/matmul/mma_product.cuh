// Products of factors of T on tensor cores by mma.sync, bf16 or F32 rounded to TF32, F32 sums. A product is a sum of terms, each a pair of factors of its own length,
// so that a low-rank update or the parts of an F32 factor run through the same pipeline as the product itself. A block makes one tile of
// the result from slices of 64 bytes that copies bring into four stages of shared memory while those before are multiplied. Where there are
// too few tiles for the device, several blocks share a tile's slices and a second kernel adds up what they made, in a fixed order.
#pragma once
#include "matmul/finish.cuh"
#include "matmul/mma_tile.cuh"

namespace graft::cuda {

constexpr int kMostTerms = 6, kStages = 4, kWarps = 4, kMmaThreads = 32 * kWarps, kRowsTogether = 8;

struct Term {
  Lines a, b;
  int k;
};

struct MmaProduct {
  Term terms[kMostTerms];
  int m, n, tiles_m, tiles_n, slices;  // slices: of all terms
  int splits, per_split;               // blocks that share a tile, and the slices of each
  int64_t batch;
  float* partial;                      // [splits, batch, m, n] where there are several splits
  Finish finish;
};

// Adds up p.partial, [splits, batch, m, n], and finishes the sums.
void finish_splits(const Device& d, const MmaProduct& p);
// What a request does with its sums, at the addresses of a run.
Finish finish_of(const ProductRequest& r, const Args& args);

// Which tile a block takes: eight rows of tiles at a time, down the columns, so that what blocks of one time read is still in L2.
struct TileOrder {
  int row, column;
  __host__ __device__ TileOrder(int index, int tiles_m, int tiles_n) {
    const int group = index / (kRowsTogether * tiles_n), first = group * kRowsTogether, inside = index - group * kRowsTogether * tiles_n;
    const int rows = tiles_m - first < kRowsTogether ? tiles_m - first : kRowsTogether;
    row = first + inside % rows;
    column = inside / rows;
  }
};

// Where in the terms a slice of kDepth lies.
template <int kDepth>
struct Slice {
  int term = 0, l = 0;
  __device__ Slice(const MmaProduct& p, int index) {
    for (l = index * kDepth; l > 0 && l >= padded(p.terms[term].k); term++) l -= padded(p.terms[term].k);
  }
  __device__ void next(const MmaProduct& p) {
    l += kDepth;
    if (l >= p.terms[term].k) term++, l = 0;
  }
  __device__ static int padded(int k) { return (k + kDepth - 1) / kDepth * kDepth; }
};

// kExtent x kExtent results of a block, a quarter of a warp.
template <class T, int kExtent, bool kAlongA, bool kAlongB>
struct MmaBlock {
  using A = Tile<T, kExtent, kAlongA>;
  using B = Tile<T, kExtent, kAlongB>;
  static constexpr int kStage = A::kElements + B::kElements, kOwn = kExtent / 2, kHigh = kOwn / 16, kWide = kOwn / 8;
  static constexpr int kResultStride = kExtent + 8;
  static constexpr size_t kPipelineBytes = sizeof(T) * kStages * kStage, kResultBytes = sizeof(float) * kExtent * kResultStride;
  static constexpr size_t kSharedBytes = kPipelineBytes > kResultBytes ? kPipelineBytes : kResultBytes;
};

template <class T>
__device__ __forceinline__ void multiply_as(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (sizeof(T) == 4) multiply_tf32(c, a, b0, b1);
  else multiply(c, a, b0, b1);
}

template <class T, int kExtent, bool kAlongA, bool kAlongB>
__global__ void __launch_bounds__(kMmaThreads, 2) mma_product(const __grid_constant__ MmaProduct p) {
  using Block = MmaBlock<T, kExtent, kAlongA, kAlongB>;
  using A = typename Block::A;
  using B = typename Block::B;
  GRAFT_SHARED_DYNAMIC(T, stages);
  const int tiles = p.tiles_m * p.tiles_n, outer = static_cast<int>(blockIdx.x) / tiles;
  const int split = outer % p.splits;
  const int64_t matrix = outer / p.splits;
  const TileOrder tile(static_cast<int>(blockIdx.x) % tiles, p.tiles_m, p.tiles_n);
  const int first_i = tile.row * kExtent, first_j = tile.column * kExtent;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int own_i = warp / 2 * Block::kOwn, own_j = warp % 2 * Block::kOwn;

  float sums[Block::kHigh][Block::kWide][4] = {};
  const int begin = split * p.per_split, end = begin + p.per_split < p.slices ? begin + p.per_split : p.slices, count = end - begin;
  Slice<Depth<T>::kDepth> slice(p, begin);
  auto fetch = [&](int s) {
    if (s < count) {
      const Term& term = p.terms[slice.term];
      T* stage = stages + s % kStages * Block::kStage;
      A::template fetch<kMmaThreads>(stage, term.a, term.a.matrix<T>(matrix), first_i, p.m, slice.l, term.k);
      B::template fetch<kMmaThreads>(stage + A::kElements, term.b, term.b.matrix<T>(matrix), first_j, p.n, slice.l, term.k);
      slice.next(p);
    }
    commit_copies();  // a group for every slice, be it empty
  };
  for (int s = 0; s < kStages - 1; s++) fetch(s);
  for (int s = 0; s < count; s++) {
    wait_copies<kStages - 2>();
    __syncthreads();  // all have the slice, and are done with the one before it, whose stage is the next to be filled
    fetch(s + kStages - 1);
    const T* stage = stages + s % kStages * Block::kStage;
    const T *left = A::template lane_address<true>(stage, own_i), *right = B::template lane_address<false>(stage + A::kElements, own_j);
#pragma unroll
    for (int l = 0; l < Depth<T>::kDepth; l += Depth<T>::kStep) {
      uint32_t a[Block::kHigh][4], b[Block::kWide / 2][4];
#pragma unroll
      for (int i = 0; i < Block::kHigh; i++) A::template fragment<true>(a[i], left, 16 * i, l);
#pragma unroll
      for (int j = 0; j < Block::kWide / 2; j++) B::template fragment<false>(b[j], right, 16 * j, l);
#pragma unroll
      for (int i = 0; i < Block::kHigh; i++)
#pragma unroll
        for (int j = 0; j < Block::kWide; j++) multiply_as<T>(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }
  wait_copies<0>();
  __syncthreads();

  // By way of shared memory, so that neighbouring threads finish neighbouring results.
  float* results = reinterpret_cast<float*>(stages);
#pragma unroll
  for (int i = 0; i < Block::kHigh; i++)
#pragma unroll
    for (int j = 0; j < Block::kWide; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float* to = results + (own_i + 16 * i + 8 * half + lane / 4) * Block::kResultStride + own_j + 8 * j + lane % 4 * 2;
        to[0] = sums[i][j][2 * half], to[1] = sums[i][j][2 * half + 1];
      }
  __syncthreads();
#pragma unroll 1
  for (int e = static_cast<int>(threadIdx.x); e < kExtent * kExtent / 4; e += kMmaThreads) {
    const int row = e / (kExtent / 4), column = e % (kExtent / 4) * 4, i = first_i + row, j = first_j + column;
    if (i >= p.m || j >= p.n) continue;
    const int there = p.n - j < 4 ? p.n - j : 4;
    const Four sum = load4(results, row * Block::kResultStride + column, 4, true);
    if (p.splits == 1) p.finish.put(matrix, i, j, there, sum);
    else store4(p.partial, ((split * p.batch + matrix) * p.m + i) * p.n + j, there, p.n % 4 == 0, sum);
  }
}

// How a product is cut for a device: the extent of a tile, and the blocks that share one. slices: of all terms.
struct MmaCut {
  int extent, splits, per_split;
  MmaCut(const Device& d, int64_t batch, int64_t m, int64_t n, int slices);
  size_t scratch(int64_t batch, int64_t m, int64_t n) const { return splits == 1 ? 0 : aligned(sizeof(float) * static_cast<size_t>(splits * batch * m * n)); }
};

template <class T>
int slices_of(int64_t k) { return static_cast<int>(ceil_div(k, Depth<T>::kDepth)); }

// Enqueues a product whose terms, m, n, batch and finish are filled in. along_a: whether neighbouring l of a are neighbours in memory.
template <class T>
void run_mma(const Device& d, const MmaCut& cut, MmaProduct p, bool along_a, bool along_b, void* scratch);
// Whether blocks and results can be counted in 32 bits.
bool fits_mma(int64_t batch, int64_t m, int64_t n, const MmaCut& cut);
// Asks for the shared memory that run_mma needs, when a kernel is prepared. Whether the device has as much.
template <class T>
bool allow_mma(const Device& d);

}  // namespace graft::cuda
