// The three products of a low-rank update, each over a block of rows that stays in a core's cache, on the calling thread:
//   low_rank_down      t = z a^T               contracts the columns; [rows, rank] out of [rows, columns]
//   low_rank_add       out = f(base + factor t u + residual)   back up to the columns
//   low_rank_gradient  sums += t^T g           contracts the rows
// A tile of sums stays in registers for the length of the contraction. Sums have one order, whoever runs them.
// Operands are made of units of 4 bytes along the axis that is summed over, as in tile.h: floats, or pairs of bf16 whose products are
// summed in F32.
#include "tile.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {
namespace {

// kPer<T> elements make a unit.
template <class T>
constexpr int64_t kPer = 4 / static_cast<int64_t>(sizeof(T));
template <class T>
struct UnitOf {
  using Type = float;
};

// As many units as a vector has lanes, as they lie; the first n elements alone, zeros behind them.
template <class T>
inline Floats load_units(const T* p) {
  Floats v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
inline Floats load_units(const T* p, int64_t n) {
  T part[kLane * kPer<T>] = {};
  for (int64_t i = 0; i < n; i++) part[i] = p[i];
  return load_units(part);
}
// kLane elements as floats.
inline Floats load_floats(const float* p) { return read(p); }

// sum + x y, or of both elements of each pair.
inline Floats multiply_units(const float*, Floats sum, Floats x, Floats y) { return sum + x * y; }

// with(T()) for the type of the activations. bf16 is computed where the processor multiplies it, and nowhere else.
#ifdef __AVX512BF16__
template <>
struct UnitOf<bf16> {
  using Type = Pair;
};
inline Floats load_floats(const bf16* p) {
  typedef uint16_t Halves __attribute__((vector_size(2 * kLane)));
  Halves h;
  __builtin_memcpy(&h, p, sizeof h);
  return (Floats)(__builtin_convertvector(h, Words) << 16);
}
inline Floats multiply_units(const bf16*, Floats sum, Floats x, Floats y) {
  return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)(__m512)x, (__m512bh)(__m512)y);
}
template <class F>
inline void with_activations(Store type, const F& f) { with_type(type, f); }
#else
template <class F>
inline void with_activations(Store, const F& f) { f(float()); }
#endif

template <class T>
inline Floats load_floats(const T* p, int64_t n) {
  T part[kLane] = {};
  for (int64_t i = 0; i < n; i++) part[i] = p[i];
  return load_floats(part);
}
template <class T>
inline void store_floats(T* p, Floats v, int64_t n) {
  if (n == kLane) return write(p, v);
  T part[kLane];
  write(part, v);
  for (int64_t i = 0; i < n; i++) p[i] = part[i];
}

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
  constexpr int64_t step = kLane * kPer<T>;
  const T* a[J];
  for (int j = 0; j < J; j++) a[j] = static_cast<const T*>(c.a) + (first + least<int64_t>(j, columns - 1)) * c.a_step;
  const int64_t whole = c.columns / step * step, rest = c.columns - whole;
  for (int64_t row = 0; row < c.rows; row += R) {
    const T* z[R];
    for (int r = 0; r < R; r++) z[r] = static_cast<const T*>(c.z) + least(row + r, c.rows - 1) * c.z_step;
    Floats sum[kLane] = {};
    auto add = [&](auto&& load) {
      Floats x[R];
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) x[r] = load(z[r]);
#pragma GCC unroll 8
      for (int j = 0; j < J; j++) {
        const Floats y = load(a[j]);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) sum[r * J + j] = multiply_units(a[0], sum[r * J + j], x[r], y);
      }
    };
    for (int64_t k = 0; k < whole; k += step) add([k](const T* p) { return load_units(p + k); });
    if (rest) add([=](const T* p) { return load_units(p + whole, rest); });
    float t[kLane];
    write(t, lane_sums(sum));
    for (int64_t r = 0; r < least<int64_t>(R, c.rows - row); r++)
      for (int64_t j = 0; j < columns; j++) c.t[(row + r) * c.t_step + first + j] = t[r * J + j];
  }
}

constexpr int kMostColumns = kLane < 8 ? kLane : 8;  // of t at a time

void low_rank_down(const LowRankDown& c) {
  with_activations(c.type, [&](auto e) {
    using T = decltype(e);
    for (int64_t j = 0; j < c.rank; j += kMostColumns) {
      const int64_t n = least<int64_t>(kMostColumns, c.rank - j);
      if (n > 4) down_columns<kMostColumns, T>(c, j, n);
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
template <class T, int R, int V, bool whole, class Emit>
inline void add_tile(const LowRankAdd& c, int64_t row, int64_t column, int64_t part, const Emit& emit) {
  using U = typename UnitOf<T>::Type;
  Floats sum[R][V] = {};
  const T* t = static_cast<const T*>(c.t) + row * c.t_step;
  const U* u = c.rank > 0 ? static_cast<const U*>(c.u) + column : nullptr;
  for (int64_t j = 0; j < c.rank; j += kPer<T>, u += c.u_step) {
    Floats right[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) right[v] = whole || v + 1 < V ? load_units(u + v * kLane) : load_units(u + v * kLane, part);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      U left;
      __builtin_memcpy(&left, t + r * c.t_step + j, sizeof left);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) sum[r][v] = multiply_add(sum[r][v], left, right[v]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) emit(row + r, column + v * kLane, sum[r][v], whole || v + 1 < V ? kLane : part);
}

template <class T, int R, class Emit>
inline void add_rows(const LowRankAdd& c, int64_t row, int64_t column, const Emit& emit) {
  const int64_t left = c.columns - column;
  if (left >= kAddVectors * kLane) return add_tile<T, R, kAddVectors, true>(c, row, column, 0, emit);
  for (int64_t at = 0; at < left; at += kLane) {
    if (left - at >= kLane) add_tile<T, R, 1, true>(c, row, column + at, 0, emit);
    else add_tile<T, R, 1, false>(c, row, column + at, left - at, emit);
  }
}

// emit(row, column, t u from there on, elements) for every vector of the result.
template <class T, class Emit>
inline void over_tiles(const LowRankAdd& c, const Emit& emit) {
  for (int64_t column = 0; column < c.columns; column += kAddVectors * kLane) {
    int64_t row = 0;
    for (; row + kAddRows <= c.rows; row += kAddRows) add_rows<T, kAddRows>(c, row, column, emit);
    for (; row < c.rows; row++) add_rows<T, 1>(c, row, column, emit);
  }
}

template <class T>
inline Floats load_floats_or_part(const T* p, int64_t n) { return n == kLane ? load_floats(p) : load_floats(p, n); }

void low_rank_add(const LowRankAdd& c) {
  with_activations(c.type, [&](auto e) {
    using T = decltype(e);
    T* out = static_cast<T*>(c.out);
    const T* residual = static_cast<const T*>(c.residual);
    auto based = [&c](int64_t row, int64_t column, Floats sum, int64_t n) {
      return c.base ? load_floats_or_part(c.base + row * c.base_step + column, n) + c.factor * sum : c.factor * sum;
    };
    if (!residual && c.tail.function == Function::None)
      return over_tiles<T>(c, [&](int64_t row, int64_t column, Floats sum, int64_t n) {
        store_floats(out + row * c.out_step + column, based(row, column, sum, n), n);
      });
    with_function(c.tail.function, [&](auto f) {
      over_tiles<T>(c, [&](int64_t row, int64_t column, Floats sum, int64_t n) {
        const int64_t at = row * c.out_step + column;
        Floats v = based(row, column, sum, n);
        if (residual) v += load_floats_or_part(residual + at, n);
        float values[kLane];
        write(values, v);
#pragma omp simd
        for (int64_t i = 0; i < kLane; i++) values[i] = apply<f.value>(values[i], c.tail.slope);
        store_floats(out + at, read(values), n);
      });
    });
  });
}

// Rows of g that are summed in registers before they join the sums.
constexpr int64_t kGradientDepth = 64;

// The left factors of a run of rows: of unit i (a row, or two) those of up to 16 rows of sums; with bf16 in two parts, the second of
// what rounding took from the first.
template <class U>
struct Lefts {
  U at[kGradientDepth][16];
};

inline void bring_lefts(const LowRankGradient& c, const float*, int64_t row, int64_t rows, int64_t first, int64_t count, Lefts<float>& left) {
  for (int64_t r = 0; r < rows; r++) __builtin_memcpy(left.at[r], c.t + (row + r) * c.t_step + first, 4 * count);
}
// V vectors of g's columns in the unit's rows; `part` columns of the last count where it is not 0.
template <int V>
inline void bring_rights(const float* g, int64_t, bool, int64_t part, Floats (&right)[V]) {
#pragma GCC unroll 4
  for (int v = 0; v < V; v++) right[v] = part ? load_floats(g + v * kLane, part) : read(g + v * kLane);
}

#ifdef __AVX512BF16__
inline void bring_lefts(const LowRankGradient& c, const bf16*, int64_t row, int64_t rows, int64_t first, int64_t count, Lefts<Pair>& left) {
  const __mmask16 mask = static_cast<__mmask16>((1u << count) - 1);
  auto values = [&](int64_t r) { return (Floats)_mm512_maskz_loadu_ps(r < rows ? mask : __mmask16{0}, c.t + (row + r) * c.t_step + first); };
  auto rest = [](Floats v) {
    bf16 rounded[kLane];
    write(rounded, v);
    return v - load_floats(rounded);
  };
  for (int64_t r = 0; r < rows; r += 2) {
    const Floats low = values(r), high = values(r + 1);
    write_pairs(reinterpret_cast<float*>(left.at[r]), low, high);
    if (c.fine) write_pairs(reinterpret_cast<float*>(left.at[r + 1]), rest(low), rest(high));
  }
}
// Each element with the one below it; `both`: there is a row below.
template <int V>
inline void bring_rights(const bf16* g, int64_t g_step, bool both, int64_t part, Floats (&right)[V]) {
  auto words = [](Floats v) { return (Words)v >> 16; };
#pragma GCC unroll 4
  for (int v = 0; v < V; v++) {
    const bf16 *upper = g + v * kLane, *lower = upper + g_step;
    const Floats low = part ? load_floats(upper, part) : load_floats(upper);
    const Floats high = !both ? Floats{} : part ? load_floats(lower, part) : load_floats(lower);
    right[v] = (Floats)((words(low) & 0xffff) | (Words)high);
  }
}
#endif

// J rows of sums from `first` on, of which `count` count, and V vectors of columns, over `rows` rows of g.
template <int J, int V, class T, class U>
inline void gradient_tile(const LowRankGradient& c, const Lefts<U>& left, int64_t row, int64_t rows, int64_t first, int64_t count,
                          int64_t column, int64_t part) {
  Floats sum[J][V] = {};
  const T* g = static_cast<const T*>(c.g) + row * c.g_step + column;
  for (int64_t r = 0; r < rows; r += kPer<T>, g += kPer<T> * c.g_step) {
    Floats right[V];
    bring_rights(g, c.g_step, r + 1 < rows, part, right);
    auto add = [&](const U* unit) {
#pragma GCC unroll 8
      for (int j = 0; j < J; j++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) sum[j][v] = multiply_add(sum[j][v], unit[j], right[v]);
    };
    add(left.at[r]);
    if (kPer<T> == 2 && c.fine) add(left.at[r + 1]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < J; j++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      if (j >= count) continue;
      float* p = c.sums + (first + j) * c.sums_step + column + v * kLane;
      const int64_t n = part ? part : kLane;
      store_floats(p, load_floats_or_part(p, n) + sum[j][v], n);
    }
}

template <int J, class T>
void gradient_rows(const LowRankGradient& c, int64_t first, int64_t count) {
  using U = typename UnitOf<T>::Type;
  Lefts<U> left{};
  for (int64_t row = 0; row < c.rows; row += kGradientDepth) {
    const int64_t rows = least(kGradientDepth, c.rows - row);
    bring_lefts(c, static_cast<const T*>(nullptr), row, rows, first, count, left);
    int64_t column = 0;
    for (; column + kGradientVectors * kLane <= c.columns; column += kGradientVectors * kLane)
      gradient_tile<J, kGradientVectors, T>(c, left, row, rows, first, count, column, 0);
    for (; column + kLane <= c.columns; column += kLane) gradient_tile<J, 1, T>(c, left, row, rows, first, count, column, 0);
    if (column < c.columns) gradient_tile<J, 1, T>(c, left, row, rows, first, count, column, c.columns - column);
  }
}

void low_rank_gradient(const LowRankGradient& c) {
  with_activations(c.type, [&](auto e) {
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
