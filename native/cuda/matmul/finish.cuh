// What becomes of a product's sums: c = activation(factor * sum + bias + c + residual), four neighbouring columns at once.
#pragma once
#include "operands.cuh"

namespace graft::cuda {

struct Finish {
  void *c, *saved;               // saved: what the activation is applied to; null: not wanted
  const void* residual;          // lies as c; null: none
  const float *factor, *bias;    // null: none
  int64_t row, step;             // of c, between rows and between matrices
  float times, slope;
  Activation activation;
  bool bf16, accumulate, whole;  // of c's type; whether c is added to; whether everything is aligned for four elements

  template <class T>
  __device__ __forceinline__ void add(const void* from, int64_t at, int count, Four& v) const {
    const Four x = load4(static_cast<const T*>(from), at, count, whole);
#pragma unroll
    for (int e = 0; e < 4; e++) v.v[e] += x.v[e];
  }
  __device__ __forceinline__ void add(const void* from, int64_t at, int count, Four& v) const {
    if (bf16) add<Bf16>(from, at, count, v);
    else add<float>(from, at, count, v);
  }
  __device__ __forceinline__ void store(void* to, int64_t at, int count, const Four& v) const {
    if (bf16) store4(static_cast<Bf16*>(to), at, count, whole, v);
    else store4(static_cast<float*>(to), at, count, whole, v);
  }
  // v: sums of row i, columns j to j + count - 1.
  __device__ __forceinline__ void put(int64_t matrix, int64_t i, int64_t j, int count, Four v) const {
    const float by = factor ? times * *factor : times;
#pragma unroll
    for (int e = 0; e < 4; e++) v.v[e] *= by;
    if (bias) add<float>(bias, j, count, v);
    const int64_t at = matrix * step + i * row + j;
    if (accumulate) add(c, at, count, v);
    if (residual) add(residual, at, count, v);
    if (saved) store(saved, at, count, v);
    if (activation != Activation::None) {
#pragma unroll
      for (int e = 0; e < 4; e++) v.v[e] = activate(activation, slope, v.v[e]);
    }
    store(c, at, count, v);
  }
};

}  // namespace graft::cuda
