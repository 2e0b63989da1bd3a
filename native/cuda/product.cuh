// Matrix products in exact F32: c[i, j] = sum over l of a[i, l] b[l, j], operands read and results taken by functors, so that a layout,
// a convolution's window or an epilogue is no kernel of its own.
//   A: start(batch, part), load(start, i, l), along_k: whether neighbouring l are neighbours in memory, kAtOnce: loads of a thread
//      that are under way together
//   B: start(batch, part), load(start, l, j), along_k, kAtOnce
//   C: start(batch), put(start, i, j, sum)
// `parts` products are added up for each c: where one matrix is shared by a batch, its gradient is their sum.
// A block of 256 threads makes 64 x 64 results, each thread 4 x 4, from slices of 16 in shared memory.
#pragma once
#include "operands.cuh"

namespace graft::cuda {

constexpr int kTile = 64, kSlice = 16, kEach = 4, kPadded = kTile + 4;  // padded: rows of four lie aligned and in different banks

template <class A, class B, class C>
__global__ void __launch_bounds__(kThreads, 2) tile_product(int64_t m, int64_t n, int64_t k, int64_t parts, Divisor tiles_m, Divisor tiles_n, const __grid_constant__ A a, const __grid_constant__ B b,
                                                         const __grid_constant__ C c) {
  GRAFT_SHARED(float, tile_a, kSlice * kPadded);
  GRAFT_SHARED(float, tile_b, kSlice * kPadded);
  GRAFT_SHARED(float, results, kTile * kPadded);
  const int64_t batch = blockIdx.x / tiles_n / tiles_m;
  const int64_t first_i = blockIdx.x / tiles_n % tiles_m * kTile, first_j = blockIdx.x % tiles_n * kTile;
  const int t = static_cast<int>(threadIdx.x), row = t / 16 * kEach, column = t % 16 * kEach;
  float sum[kEach][kEach] = {};
  for (int64_t part = 0; part < parts; part++) {
    const int64_t start_a = a.start(batch, part), start_b = b.start(batch, part);
    for (int64_t first_l = 0; first_l < k; first_l += kSlice) {
#pragma unroll A::kAtOnce
      for (int e = t; e < kTile * kSlice; e += kThreads) {
        const int x = a.along_k ? e / kSlice : e % kTile, l = a.along_k ? e % kSlice : e / kTile;
        const int64_t i = first_i + x, at = first_l + l;
        tile_a[l * kPadded + x] = i < m && at < k ? a.load(start_a, i, at) : 0;
      }
#pragma unroll B::kAtOnce
      for (int e = t; e < kTile * kSlice; e += kThreads) {
        const int x = b.along_k ? e / kSlice : e % kTile, l = b.along_k ? e % kSlice : e / kTile;
        const int64_t j = first_j + x, at = first_l + l;
        tile_b[l * kPadded + x] = j < n && at < k ? b.load(start_b, at, j) : 0;
      }
      __syncthreads();
#pragma unroll 4
      for (int l = 0; l < kSlice; l++) {
        const float4 x = *reinterpret_cast<const float4*>(tile_a + l * kPadded + row), y = *reinterpret_cast<const float4*>(tile_b + l * kPadded + column);
        const float left[kEach] = {x.x, x.y, x.z, x.w}, right[kEach] = {y.x, y.y, y.z, y.w};
#pragma unroll
        for (int i = 0; i < kEach; i++)
#pragma unroll
          for (int j = 0; j < kEach; j++) sum[i][j] += left[i] * right[j];
      }
      __syncthreads();
    }
  }
  // By way of shared memory, so that neighbouring threads put neighbouring results, and so that one put is compiled in place of sixteen.
#pragma unroll
  for (int i = 0; i < kEach; i++)
#pragma unroll
    for (int j = 0; j < kEach; j++) results[(row + i) * kPadded + column + j] = sum[i][j];
  __syncthreads();
  const int64_t start = c.start(batch);
#pragma unroll 1
  for (int e = t; e < kTile * kTile; e += kThreads) {
    const int i = e / kTile, j = e % kTile;
    if (first_i + i < m && first_j + j < n) c.put(start, first_i + i, first_j + j, results[i * kPadded + j]);
  }
}

template <class A, class B, class C>
void product(const Device& d, int64_t batch, int64_t m, int64_t n, int64_t k, int64_t parts, const A& a, const B& b, const C& c) {
  const int64_t tiles_m = ceil_div(m, kTile), tiles_n = ceil_div(n, kTile);
  launch(tile_product<A, B, C>, {batch * tiles_m * tiles_n, kThreads, 0, d.stream}, m, n, k, parts, tiles_m, tiles_n, a, b, c);
}

// Where matrix `index` of several begins, counted over some axes, the last fastest.
struct Starts {
  int rank = 0;
  Divisor size[kMaxRank];
  int64_t step[kMaxRank];
  __device__ int64_t operator()(int64_t index) const {
    int64_t at = 0;
    for (int d = rank - 1; d >= 0; d--) {
      at += index % size[d] * step[d];
      index /= size[d];
    }
    return at;
  }
  void add(int64_t axis_size, int64_t axis_step) {
    size[rank] = axis_size;
    step[rank++] = axis_step;
  }
};

// A matrix whose element (i, l) lies at i * row + l * column.
template <class T>
struct Matrix {
  static constexpr int kAtOnce = 4;
  const T* p;
  int64_t row, column;
  bool along_k;
  Starts batches, parts;
  __device__ int64_t start(int64_t batch, int64_t part) const { return batches(batch) + parts(part); }
  __device__ float load(int64_t start, int64_t i, int64_t l) const { return float_of(p[start + i * row + l * column]); }
};

// As the left and the right factor, i or j being the axis that stays.
template <class T>
Matrix<T> left(const void* p, int64_t row, int64_t column) {
  return {static_cast<const T*>(p), row, column, column == 1, {}, {}};
}
template <class T>
Matrix<T> right(const void* p, int64_t row, int64_t column) {
  return {static_cast<const T*>(p), row, column, row == 1 && column != 1, {}, {}};
}

// c = activation(factor * sum + bias[j] + residual (+ c)).
template <class T>
struct Store {
  T* p;
  int64_t row, column;
  float factor = 1;
  bool accumulate = false;
  const float *scale = nullptr, *bias = nullptr;  // scale: a factor in memory
  const T* residual = nullptr;                    // lies as c
  Activation activation = Activation::None;
  float slope = 0;
  Starts batches = {};
  __device__ int64_t start(int64_t batch) const { return batches(batch); }
  __device__ void put(int64_t start, int64_t i, int64_t j, float sum) const {
    const int64_t at = start + i * row + j * column;
    float v = (scale ? factor * *scale : factor) * sum;
    if (bias) v += bias[j];
    if (accumulate) v += float_of(p[at]);
    if (residual) v += float_of(residual[at]);
    p[at] = stored<T>(activate(activation, slope, v));
  }
};

template <class T>
Store<T> store(Gradient<T> gradient, int64_t row) {
  Store<T> c{gradient.address, row, 1};
  c.accumulate = gradient.accumulate;
  return c;
}

// Sums over the rows of a [rows, columns], for a bias' gradient.
template <class T>
struct ColumnTerm {
  const T* g;
  int64_t columns;
  __device__ void operator()(int64_t, int64_t row, int64_t c, float (&v)[1]) const { v[0] = float_of(g[row * columns + c]); }
};
struct PutColumnSum {
  Gradient<float> gradient;
  __device__ void operator()(int64_t i, const double (&sums)[1]) const { gradient.put(i, static_cast<float>(sums[0])); }
};

}  // namespace graft::cuda
