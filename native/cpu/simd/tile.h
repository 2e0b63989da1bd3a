// Products of small matrices that lie in the nearest caches. Operands are made of units of 4 bytes along the axis that is summed
// over: a float, or a pair of bf16 whose two products are summed in F32. So one kernel serves both types:
//   c[i, j] (+)= sum_l a[i, l] b[l, j], b and c row-major and filled up to whole vectors of columns.
// Rows are computed kSlack at a time at most: behind the last row of `a` and `c` there must be room for as many.
#pragma once
#include "vectors.h"
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace graft::cpu::GRAFT_ISA_NAMESPACE {

typedef uint32_t Pair;  // of bf16, the first in the low half

constexpr int64_t kSlack = 8;
// Units of the summed axis at a time: the columns of b that a kernel needs stay in the nearest cache.
constexpr int64_t kDepth = 96;
// Vectors of columns that a kernel computes at a time, and rows: as many sums as there are registers for.
#ifdef __AVX512F__
constexpr int kWidest = 4;
constexpr int rows_of(int vectors) { return vectors == 4 ? 6 : 8; }
#else
constexpr int kWidest = 2;
constexpr int rows_of(int vectors) { return vectors == 2 ? 6 : 8; }
#endif

inline Floats multiply_add(Floats sum, float a, Floats b) { return sum + a * b; }
#ifdef __AVX512BF16__
inline Floats multiply_add(Floats sum, Pair a, Floats b) {
  return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(static_cast<int>(a)), (__m512bh)(__m512)b);
}
inline void write(bf16* p, Floats v) {
  const __m256bh rounded = _mm512_cvtneps_pbh((__m512)v);
  __builtin_memcpy(p, &rounded, sizeof rounded);
}
// Pairs of the elements of two rows.
inline void write_pairs(float* p, Floats low, Floats high) {
  typedef uint16_t Halves __attribute__((vector_size(32)));
  typedef Pair Pairs __attribute__((vector_size(64)));
  const Halves a = (Halves)_mm512_cvtneps_pbh((__m512)low), b = (Halves)_mm512_cvtneps_pbh((__m512)high);
  const Pairs pairs = __builtin_convertvector(a, Pairs) | __builtin_convertvector(b, Pairs) << 16;
  __builtin_memcpy(p, &pairs, sizeof pairs);
}
#endif

// Steps of `a` in units: from row to row, from one summed unit to the next. One of them is 1.
template <class U>
struct Left {
  const U* at;
  int64_t row, unit;
};

template <class U, int rows, int vectors, bool transposed>
inline void kernel(Left<U> a, const U* b, int64_t b_row, float* c, int64_t c_row, int64_t depth, bool add) {
  Floats sum[rows][vectors];
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < vectors; v++) sum[r][v] = add ? read(c + r * c_row + v * kLane) : Floats{};
  const U* row[rows];
  for (int r = 0; r < rows; r++) row[r] = a.at + (transposed ? r : r * a.row);
  for (int64_t l = 0; l < depth; l++) {
    const float* from = reinterpret_cast<const float*>(b + l * b_row);
    Floats right[vectors];
    for (int v = 0; v < vectors; v++) right[v] = read(from + v * kLane);
    for (int r = 0; r < rows; r++) {
      const U left = transposed ? row[0][l * a.unit + r] : row[r][l];
      for (int v = 0; v < vectors; v++) sum[r][v] = multiply_add(sum[r][v], left, right[v]);
    }
  }
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < vectors; v++) write(c + r * c_row + v * kLane, sum[r][v]);
}

template <class U, int vectors, bool transposed>
inline void columns(Left<U> a, const U* b, int64_t b_row, float* c, int64_t c_row, int64_t rows, int64_t depth, bool add) {
  constexpr int step = rows_of(vectors);
  for (int64_t r = 0; r < rows; r += step) {
    kernel<U, step, vectors, transposed>(a, b, b_row, c + r * c_row, c_row, depth, add);
    a.at += step * (transposed ? 1 : a.row);
  }
}

template <class U, bool transposed>
void product_of(Left<U> a, const U* b, int64_t b_row, float* c, int64_t c_row, int64_t rows, int64_t vectors, int64_t depth, bool add) {
  const int64_t cuts = (depth + kDepth - 1) / kDepth, panels = (vectors + kWidest - 1) / kWidest;
  for (int64_t cut = 0; cut < cuts; cut++) {
    const int64_t begin = depth * cut / cuts, count = depth * (cut + 1) / cuts - begin;
    const Left<U> left{a.at + begin * (transposed ? a.unit : 1), a.row, a.unit};
    for (int64_t panel = 0; panel < panels; panel++) {
      const int64_t first = vectors * panel / panels, width = vectors * (panel + 1) / panels - first;
      const U* right = b + begin * b_row + first * kLane;
      float* to = c + first * kLane;
      const bool sums = add || cut > 0;
      if (width == 1) columns<U, 1, transposed>(left, right, b_row, to, c_row, rows, count, sums);
      if (width == 2) columns<U, 2, transposed>(left, right, b_row, to, c_row, rows, count, sums);
#ifdef __AVX512F__
      if (width == 3) columns<U, 3, transposed>(left, right, b_row, to, c_row, rows, count, sums);
      if (width == 4) columns<U, 4, transposed>(left, right, b_row, to, c_row, rows, count, sums);
#endif
    }
  }
}

template <class U>
inline void product(Left<U> a, const U* b, int64_t b_row, float* c, int64_t c_row, int64_t rows, int64_t vectors, int64_t depth, bool add) {
  if (a.unit == 1) product_of<U, false>(a, b, b_row, c, c_row, rows, vectors, depth, add);
  else product_of<U, true>(a, b, b_row, c, c_row, rows, vectors, depth, add);
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
