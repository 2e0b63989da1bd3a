// The three products of a low-rank update, each over a block of rows that stays in a core's cache, on the calling thread:
//   low_rank_down      t = z a^T               contracts the columns; [rows, rank] out of [rows, columns]
//   low_rank_add       out = f(base + factor t u + residual)   back up to the columns
//   low_rank_gradient  sums += t^T g           contracts the rows
// A tile of sums stays in registers for the length of the contraction. Sums have one order, whoever runs them.
#include "vectors.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

typedef uint16_t Halves __attribute__((vector_size(2 * kLane)));
typedef uint32_t Bits __attribute__((vector_size(4 * kLane)));

inline Floats load_vector(const float* p) { return read(p); }
inline Floats load_vector(const bf16* p) {
  Halves h;
  __builtin_memcpy(&h, p, sizeof h);
  return (Floats)(__builtin_convertvector(h, Bits) << 16);
}
inline void store_vector(float* p, Floats v) { write(p, v); }
// As store() in value.h.
inline void store_vector(bf16* p, Floats v) {
  const Bits u = (Bits)v, rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, quiet = (u >> 16) | 0x40u;
  const Halves h = __builtin_convertvector(v == v ? rounded : quiet, Halves);
  __builtin_memcpy(p, &h, sizeof h);
}
// The first n elements, zeros behind them.
template <class T>
inline Floats load_part(const T* p, int64_t n) {
  T part[kLane] = {};
  for (int64_t i = 0; i < n; i++) part[i] = p[i];
  return load_vector(part);
}
template <class T>
inline void store_part(T* p, Floats v, int64_t n) {
  T part[kLane];
  store_vector(part, v);
  for (int64_t i = 0; i < n; i++) p[i] = part[i];
}
inline Floats all(float x) { return x - Floats{}; }

// Lane i of the result is the sum of the lanes of v[i].
inline Floats lane_sums(Floats (&v)[kLane]) {
#if defined(__AVX512F__)
  const Words even = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
#elif defined(__AVX2__)
  const Words even = {0, 2, 4, 6, 8, 10, 12, 14};
#else
  const Words even = {0, 2, 4, 6};
#endif
  // Neighbouring lanes are added; of two vectors one is left, the first's sums in its lower half.
#pragma GCC unroll 4
  for (int n = kLane; n > 1; n /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < n / 2; i++)
      v[i] = __builtin_shuffle(v[2 * i], v[2 * i + 1], even) + __builtin_shuffle(v[2 * i], v[2 * i + 1], even + 1);
  return v[0];
}

// `columns` columns of t from `first` on, at most J, for all rows: kLane / J rows at a time, so that the sums fill one vector.
template <int J, class T>
void down_columns(const LowRankDown& c, int64_t first, int64_t columns) {
  constexpr int R = kLane / J;
  const float* a[J];
  for (int j = 0; j < J; j++) a[j] = c.a + (first + least<int64_t>(j, columns - 1)) * c.a_step;
  const int64_t whole = c.columns / kLane * kLane, rest = c.columns - whole;
  for (int64_t row = 0; row < c.rows; row += R) {
    const T* z[R];
    for (int r = 0; r < R; r++) z[r] = static_cast<const T*>(c.z) + least(row + r, c.rows - 1) * c.z_step;
    Floats sum[kLane] = {};
    auto add = [&](auto&& left, auto&& right) {
      Floats x[R];
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) x[r] = left(z[r]);
#pragma GCC unroll 8
      for (int j = 0; j < J; j++) {
        const Floats y = right(a[j]);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) sum[r * J + j] += x[r] * y;
      }
    };
    for (int64_t k = 0; k < whole; k += kLane)
      add([k](const T* p) { return load_vector(p + k); }, [k](const float* p) { return load_vector(p + k); });
    if (rest) {
      auto part = [=](const auto* p) { return load_part(p + whole, rest); };
      add(part, part);
    }
    float t[kLane];
    store_vector(t, lane_sums(sum));
    for (int64_t r = 0; r < least<int64_t>(R, c.rows - row); r++)
      for (int64_t j = 0; j < columns; j++) c.t[(row + r) * c.t_step + first + j] = t[r * J + j];
  }
}

constexpr int kWidest = kLane < 8 ? kLane : 8;  // columns of t at a time

void low_rank_down(const LowRankDown& c) {
  with_type(c.type, [&](auto e) {
    using T = decltype(e);
    for (int64_t j = 0; j < c.rank; j += kWidest) {
      const int64_t n = least<int64_t>(kWidest, c.rank - j);
      if (n > 4) down_columns<kWidest, T>(c, j, n);
      else if (n > 2) down_columns<4, T>(c, j, n);
      else if (n > 1) down_columns<2, T>(c, j, n);
      else down_columns<1, T>(c, j, n);
    }
  });
}

#if defined(__AVX512F__)
constexpr int kAddRows = 4, kAddVectors = 4, kGradientRows = 8, kGradientVectors = 2;
#else
constexpr int kAddRows = 4, kAddVectors = 2, kGradientRows = 4, kGradientVectors = 2;
#endif

// R rows of V vectors; `part` elements of the last vector count.
template <int R, int V, bool whole, class Emit>
inline void add_tile(const LowRankAdd& c, int64_t row, int64_t column, int64_t part, const Emit& emit) {
  Floats sum[R][V] = {};
  const float *t = c.t + row * c.t_step, *u = c.u + column;
  for (int64_t j = 0; j < c.rank; j++) {
    Floats right[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      const float* p = u + j * c.u_step + v * kLane;
      right[v] = whole || v + 1 < V ? load_vector(p) : load_part(p, part);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      const Floats left = all(t[r * c.t_step + j]);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) sum[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) emit(row + r, column + v * kLane, sum[r][v], whole || v + 1 < V ? kLane : part);
}

template <int R, class Emit>
inline void add_rows(const LowRankAdd& c, int64_t row, int64_t column, const Emit& emit) {
  constexpr int64_t kTile = kAddVectors * kLane;
  const int64_t left = c.columns - column;
  if (left >= kTile) add_tile<R, kAddVectors, true>(c, row, column, 0, emit);
  else
    for (int64_t at = 0; at < left; at += kLane) {
      if (left - at >= kLane) add_tile<R, 1, true>(c, row, column + at, 0, emit);
      else add_tile<R, 1, false>(c, row, column + at, left - at, emit);
    }
}

// emit(row, column, t u from there on, elements) for every vector of the result.
template <class Emit>
inline void over_tiles(const LowRankAdd& c, const Emit& emit) {
  for (int64_t column = 0; column < c.columns; column += kAddVectors * kLane) {
    int64_t row = 0;
    for (; row + kAddRows <= c.rows; row += kAddRows) add_rows<kAddRows>(c, row, column, emit);
    for (; row < c.rows; row++) add_rows<1>(c, row, column, emit);
  }
}

void low_rank_add(const LowRankAdd& c) {
  with_type(c.type, [&](auto e) {
    using T = decltype(e);
    T* out = static_cast<T*>(c.out);
    const T* residual = static_cast<const T*>(c.residual);
    auto based = [&c](int64_t row, int64_t column, Floats sum, int64_t n) {
      if (!c.base) return c.factor * sum;
      const float* base = c.base + row * c.base_step + column;
      return (n == kLane ? load_vector(base) : load_part(base, n)) + c.factor * sum;
    };
    if (!residual && c.tail.function == Function::None)
      return over_tiles(c, [&](int64_t row, int64_t column, Floats sum, int64_t n) {
        const Floats v = based(row, column, sum, n);
        T* p = out + row * c.out_step + column;
        if (n == kLane) store_vector(p, v);
        else store_part(p, v, n);
      });
    with_function(c.tail.function, [&](auto f) {
      over_tiles(c, [&](int64_t row, int64_t column, Floats sum, int64_t n) {
        const int64_t at = row * c.out_step + column;
        Floats v = based(row, column, sum, n);
        if (residual) v += n == kLane ? load_vector(residual + at) : load_part(residual + at, n);
        float values[kLane];
        store_vector(values, v);
#pragma omp simd
        for (int i = 0; i < kLane; i++) values[i] = apply<f.value>(values[i], c.tail.slope);
        for (int64_t i = 0; i < n; i++) store(out + at + i, values[i]);
      });
    });
  });
}

// J rows of sums from `first` on, of which `rows` count, and V vectors of columns, over all rows of g.
template <int J, int V, class T>
inline void gradient_tile(const LowRankGradient& c, int64_t first, int64_t rows, int64_t column, int64_t part) {
  int64_t at[J];
  for (int j = 0; j < J; j++) at[j] = first + least<int64_t>(j, rows - 1);
  Floats sum[J][V] = {};
  const T* g = static_cast<const T*>(c.g) + column;
  for (int64_t r = 0; r < c.rows; r++) {
    Floats right[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) right[v] = part ? load_part(g + r * c.g_step, part) : load_vector(g + r * c.g_step + v * kLane);
    const float* t = c.t + r * c.t_step;
#pragma GCC unroll 8
    for (int j = 0; j < J; j++) {
      const Floats left = all(t[at[j]]);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) sum[j][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < J; j++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      if (j >= rows) continue;
      float* p = c.sums + (first + j) * c.sums_step + column + v * kLane;
      if (part) store_part(p, load_part(p, part) + sum[j][v], part);
      else store_vector(p, load_vector(p) + sum[j][v]);
    }
}

template <int J, class T>
void gradient_rows(const LowRankGradient& c, int64_t first, int64_t rows) {
  int64_t column = 0;
  for (; column + kGradientVectors * kLane <= c.columns; column += kGradientVectors * kLane)
    gradient_tile<J, kGradientVectors, T>(c, first, rows, column, 0);
  for (; column + kLane <= c.columns; column += kLane) gradient_tile<J, 1, T>(c, first, rows, column, 0);
  if (column < c.columns) gradient_tile<J, 1, T>(c, first, rows, column, c.columns - column);
}

void low_rank_gradient(const LowRankGradient& c) {
  with_type(c.type, [&](auto e) {
    using T = decltype(e);
    for (int64_t j = 0; j < c.rank; j += kGradientRows) {
      const int64_t n = least<int64_t>(kGradientRows, c.rank - j);
      if (n > 4) gradient_rows<kGradientRows, T>(c, j, n);
      else if (n > 2) gradient_rows<4, T>(c, j, n);
      else if (n > 1) gradient_rows<2, T>(c, j, n);
      else gradient_rows<1, T>(c, j, n);
    }
  });
}

}  // namespace

void add_low_rank(Simd& table) {
  table.low_rank_down = low_rank_down;
  table.low_rank_add = low_rank_add;
  table.low_rank_gradient = low_rank_gradient;
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
