// Products and sums with broadcasting over at most three collapsed dimensions, and their gradients' sums.
#include "reduce.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

// body(left address, right address, result address, count, left step, right step) per run of the last dimension.
template <class T, class F>
void over_runs(const Spread& s, const void* a, const void* b, void* y, const F& body) {
  const T* left = static_cast<const T*>(a);
  const T* right = static_cast<const T*>(b);
  T* out = static_cast<T*>(y);
  // A last dimension that is long is split, one that is short is taken many at a time: both by the outer index.
  int64_t pieces = (s.size[2] + kBlock - 1) / kBlock, runs = s.size[0] * s.size[1];
  over_items(runs * pieces, least(s.size[2], kBlock), [&](int64_t i) {
    int64_t run = i / pieces, begin = i % pieces * kBlock, count = least(kBlock, s.size[2] - begin);
    int64_t i0 = run / s.size[1], i1 = run % s.size[1];
    body(left + i0 * s.left[0] + i1 * s.left[1] + begin * s.left[2], right + i0 * s.right[0] + i1 * s.right[1] + begin * s.right[2],
         out + run * s.size[2] + begin, count, s.left[2], s.right[2]);
  });
}

// One loop per combination of steps of 0 and 1: a constant step lets the loop vectorise.
template <class T, class F>
inline void run_of(const T* a, const T* b, T* y, int64_t n, int64_t step_a, int64_t step_b, const F& f) {
  if (step_a && step_b) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) store(y + i, f(load(a + i), load(b + i), load(y + i)));
  } else if (step_a) {
    float v = load(b);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) store(y + i, f(load(a + i), v, load(y + i)));
  } else {
    float v = load(a);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) store(y + i, f(v, load(b + i * step_b), load(y + i)));
  }
}

void add(Store type, const Spread& s, const void* a, const void* b, void* y, Tail tail) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    with_function(tail.function, [&](auto f) {
      over_runs<T>(s, a, b, y, [&](const T* left, const T* right, T* out, int64_t n, int64_t step_a, int64_t step_b) {
        run_of(left, right, out, n, step_a, step_b, [&](float l, float r, float) { return apply<f.value>(l + r, tail.slope); });
      });
    });
  });
}

void multiply(Store type, const Spread& s, const void* a, const void* b, void* y, bool accumulate) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    over_runs<T>(s, a, b, y, [&](const T* left, const T* right, T* out, int64_t n, int64_t step_a, int64_t step_b) {
      if (accumulate) run_of(left, right, out, n, step_a, step_b, [](float l, float r, float before) { return l * r + before; });
      else run_of(left, right, out, n, step_a, step_b, [](float l, float r, float) { return l * r; });
    });
  });
}

void embed_tokens(Store type, const void* x, const float* token, const float* position, void* y, int64_t samples, int64_t prefix, int64_t whole) {
  with_type(type, [&](auto e) {
    using T = decltype(e);
    over_items(samples, whole, [&](int64_t n) {
      const T* own = static_cast<const T*>(x) + n * (whole - prefix);
      T* out = static_cast<T*>(y) + n * whole;
#pragma omp simd
      for (int64_t i = 0; i < prefix; i++) store(out + i, token[i] + position[i]);
#pragma omp simd
      for (int64_t i = prefix; i < whole; i++) store(out + i, load(own + i - prefix) + position[i]);
    });
  });
}

void column_sums(Store type, const void* x, int64_t rows, int64_t columns, float* sums, bool accumulate, void* scratch) {
  double* totals = static_cast<double*>(scratch);
  with_type(type, [&](auto e) {
    const auto* p = static_cast<const decltype(e)*>(x);
    reduce_rows<1>(rows, columns, totals + columns, totals, [&](int64_t begin, int64_t end, float* sum) {
      for (int64_t r = begin; r < end; r++) {
        const auto* row = p + r * columns;
#pragma omp simd
        for (int64_t c = 0; c < columns; c++) sum[c] += load(row + c);
      }
    });
  });
  for (int64_t c = 0; c < columns; c++) sums[c] = static_cast<float>(accumulate ? sums[c] + totals[c] : totals[c]);
}

// Columns summed at a time, in registers and the nearest cache.
constexpr int64_t kTile = 256;

void middle_sums(Store type, int64_t a, int64_t b, int64_t c, const void* x, const void* other, Store to, void* y, bool accumulate) {
  int64_t tiles = (c + kTile - 1) / kTile;
  with_type(type, [&](auto e) {
    using T = decltype(e);
    with_type(to, [&](auto g) {
      using G = decltype(g);
      over_items(a * tiles, b * least(c, kTile), [&](int64_t item) {
        int64_t i = item / tiles, first = item % tiles * kTile, n = least(kTile, c - first);
        float run[kTile];
        double total[kTile];
        for (int64_t k = 0; k < n; k++) total[k] = 0;
        for (int64_t at = 0; at < b; at += kRun) {
          for (int64_t k = 0; k < n; k++) run[k] = 0;
          for (int64_t j = at; j < least(b, at + kRun); j++) {
            const T* p = static_cast<const T*>(x) + (i * b + j) * c + first;
            if (other) {
              const T* q = static_cast<const T*>(other) + (i * b + j) * c + first;
#pragma omp simd
              for (int64_t k = 0; k < n; k++) run[k] += load(p + k) * load(q + k);
            } else {
#pragma omp simd
              for (int64_t k = 0; k < n; k++) run[k] += load(p + k);
            }
          }
          for (int64_t k = 0; k < n; k++) total[k] += run[k];
        }
        G* out = static_cast<G*>(y) + i * c + first;
        for (int64_t k = 0; k < n; k++) store(out + k, static_cast<float>(total[k]) + (accumulate ? load(out + k) : 0.f));
      });
    });
  });
}

}  // namespace

void add_broadcast(Simd& table) {
  table.add = add;
  table.multiply = multiply;
  table.embed_tokens = embed_tokens;
  table.column_sums = column_sums;
  table.middle_sums = middle_sums;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
