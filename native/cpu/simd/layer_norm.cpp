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

// dx = rstd * (h - mean(h) - normal * mean(h * normal)), h = (dout + dout2) * weight.
template <class T, bool second, bool weighted>
void data(const T* dout, const T* dout2, const T* x, const float* weight, const float* mean, const float* rstd, T* dx, int64_t rows, int64_t n) {
  over_items(rows, n, [&](int64_t r) {
    const int64_t at = r * n;
    const float m = mean[r], s = rstd[r];
    auto scaled = [&](int64_t i) {
      float g = load(dout + at + i);
      if constexpr (second) g += load(dout2 + at + i);
      if constexpr (weighted) g *= weight[i];
      return g;
    };
    float sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
    for (int64_t i = 0; i < n; i++) {
      float h = scaled(i);
      sum += h;
      product += h * (load(x + at + i) - m);
    }
    const float a = sum / n, b = product * s * s / n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) store(dx + at + i, s * (scaled(i) - a - (load(x + at + i) - m) * b));
  });
}

void layer_norm_data(Store type, const void* dout, const void* dout2, const void* x, const float* weight, const float* mean, const float* rstd, void* dx,
                     int64_t rows, int64_t n) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    const T *g = static_cast<const T*>(dout), *g2 = static_cast<const T*>(dout2), *in = static_cast<const T*>(x);
    T* out = static_cast<T*>(dx);
    if (g2) weight ? data<T, true, true>(g, g2, in, weight, mean, rstd, out, rows, n) : data<T, true, false>(g, g2, in, weight, mean, rstd, out, rows, n);
    else weight ? data<T, false, true>(g, g2, in, weight, mean, rstd, out, rows, n) : data<T, false, false>(g, g2, in, weight, mean, rstd, out, rows, n);
  });
}

// sums[0..n) of g, sums[n..2n) of g * normal; without x the latter stay 0.
void layer_norm_weights(Store type, const void* dout, const void* dout2, const void* x, const float* mean, const float* rstd, int64_t rows, int64_t n,
                        double* sums, void* scratch) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    const T *dg = static_cast<const T*>(dout), *dg2 = static_cast<const T*>(dout2), *in = static_cast<const T*>(x);
    reduce_rows<2>(rows, n, scratch, sums, [&](int64_t begin, int64_t end, float* sum) {
      float* product = sum + n;
      for (int64_t r = begin; r < end; r++) {
        const int64_t at = r * n;
        const float m = in ? mean[r] : 0, s = in ? rstd[r] : 0;
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
          float g = load(dg + at + i);
          if (dg2) g += load(dg2 + at + i);
          sum[i] += g;
          if (in) product[i] += g * ((load(in + at + i) - m) * s);
        }
      }
    });
  });
}

}  // namespace

void add_layer_norm(Simd& table) {
  table.layer_norm = layer_norm;
  table.layer_norm_data = layer_norm_data;
  table.layer_norm_weights = layer_norm_weights;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
