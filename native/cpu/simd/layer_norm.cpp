// Layer norm over rows of n: y = (x - mean) * rstd * weight + bias, two passes over a row that lies in the nearest cache.
#include "reduce.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

void layer_norm(Store type, const void* x, const float* weight, const float* bias, void* y, float* mean, float* rstd, int64_t rows, int64_t n, float eps) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    over_items(rows, n, [&](int64_t r) {
      const T* p = static_cast<const T*>(x) + r * n;
      T* q = static_cast<T*>(y) + r * n;
      float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < n; i++) sum += load(p + i);
      const float m = sum / n;
#pragma omp simd reduction(+ : squares)
      for (int64_t i = 0; i < n; i++) squares += (load(p + i) - m) * (load(p + i) - m);
      const float s = 1 / __builtin_sqrtf(squares / n + eps);
      mean[r] = m;
      rstd[r] = s;
      if (weight && bias) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) store(q + i, (load(p + i) - m) * s * weight[i] + bias[i]);
      } else {
        for (int64_t i = 0; i < n; i++) store(q + i, (load(p + i) - m) * s * (weight ? weight[i] : 1) + (bias ? bias[i] : 0));
      }
    });
  });
}

// One row: dx = rstd * (h - mean(h) - normal * mean(h * normal)), h = g * weight, g = dout + dout2; sum += g and product += g * normal
// where they are given. dx may lie on dout: it is written when the row has been read.
template <class T, bool second, bool weighted>
inline void gradients_of_row(const LayerNormCall& c, int64_t r, float* sum, float* product) {
  const int64_t n = c.n, at = r * n;
  const T* dout = static_cast<const T*>(c.dout) + at;
  const T* dout2 = second ? static_cast<const T*>(c.dout2) + at : nullptr;
  const T* x = static_cast<const T*>(c.x) + at;
  const float m = c.mean[r], s = c.rstd[r];
  auto gradient = [&](int64_t i) {
    if constexpr (second) return load(dout + i) + load(dout2 + i);
    return load(dout + i);
  };
  if (sum) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
      const float g = gradient(i);
      sum[i] += g;
      product[i] += g * ((load(x + i) - m) * s);
    }
  }
  if (!c.dx) return;
  auto scaled = [&](int64_t i) {
    if constexpr (weighted) return gradient(i) * c.weight[i];
    return gradient(i);
  };
  float total = 0, along = 0;
#pragma omp simd reduction(+ : total, along)
  for (int64_t i = 0; i < n; i++) {
    const float h = scaled(i);
    total += h;
    along += h * (load(x + i) - m);
  }
  const float a = total / n, b = along * s * s / n;
  T* dx = static_cast<T*>(c.dx) + at;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) store(dx + i, s * (scaled(i) - a - (load(x + i) - m) * b));
}

template <class T, bool second, bool weighted>
void gradients_of(const LayerNormCall& c, double* sums, void* scratch) {
  if (!sums) return over_items(c.rows, c.n, [&](int64_t r) { gradients_of_row<T, second, weighted>(c, r, nullptr, nullptr); });
  reduce_rows<2>(c.rows, c.n, scratch, sums, [&](int64_t begin, int64_t end, float* sum) {
    for (int64_t r = begin; r < end; r++) gradients_of_row<T, second, weighted>(c, r, sum, sum + c.n);
  });
}

void layer_norm_gradients(const LayerNormCall& c, double* sums, void* scratch) {
  with_type(c.type, [&](auto e) {
    using T = decltype(e);
    if (c.dout2) c.weight ? gradients_of<T, true, true>(c, sums, scratch) : gradients_of<T, true, false>(c, sums, scratch);
    else c.weight ? gradients_of<T, false, true>(c, sums, scratch) : gradients_of<T, false, false>(c, sums, scratch);
  });
}

}  // namespace

void add_layer_norm(Simd& table) {
  table.layer_norm = layer_norm;
  table.layer_norm_gradients = layer_norm_gradients;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
