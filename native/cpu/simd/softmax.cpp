// Softmax over rows of n, and its gradient.
#include "value.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

void softmax(Store type, bool log, const void* x, void* y, int64_t rows, int64_t n) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    over_items(rows, n, [&](int64_t r) {
      const T* p = static_cast<const T*>(x) + r * n;
      T* q = static_cast<T*>(y) + r * n;
      float top = -__builtin_inff(), sum = 0;
#pragma omp simd reduction(max : top)
      for (int64_t i = 0; i < n; i++) top = load(p + i) > top ? load(p + i) : top;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < n; i++) sum += exp_below(load(p + i) - top);
      if (log) {
        const float shift = top + __builtin_logf(sum);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) store(q + i, load(p + i) - shift);
      } else {
        const float factor = 1 / sum;
#pragma omp simd
        for (int64_t i = 0; i < n; i++) store(q + i, exp_below(load(p + i) - top) * factor);
      }
    });
  });
}

// dx = y (g - sum(g y)); of the logarithm: dx = g - exp(y) sum(g).
void softmax_data(Store type, bool log, const void* dout, const void* dout2, const void* y, void* dx, int64_t rows, int64_t n) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    over_items(rows, n, [&](int64_t r) {
      const int64_t at = r * n;
      const T* a = static_cast<const T*>(dout) + at;
      const T* b = dout2 ? static_cast<const T*>(dout2) + at : nullptr;
      const T* p = static_cast<const T*>(y) + at;
      T* q = static_cast<T*>(dx) + at;
      auto gradient = [&](int64_t i) { return b ? load(a + i) + load(b + i) : load(a + i); };
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < n; i++) sum += log ? gradient(i) : gradient(i) * load(p + i);
      if (log) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) store(q + i, gradient(i) - exp_below(load(p + i)) * sum);
      } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) store(q + i, load(p + i) * (gradient(i) - sum));
      }
    });
  });
}

}  // namespace

void add_softmax(Simd& table) {
  table.softmax = softmax;
  table.softmax_data = softmax_data;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
