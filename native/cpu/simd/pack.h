// Laying out matrices for the products of tile.h, and their results back.
#pragma once
#include "tile.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {

constexpr int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// What products sum over: elements of T as units of 4 bytes.
template <class T>
struct Units;
template <>
struct Units<float> {
  using Type = float;
  static constexpr int64_t per = 1;
};
template <>
struct Units<bf16> {
  using Type = Pair;
  static constexpr int64_t per = 2;
};
template <class T>
constexpr int64_t units(int64_t elements) {
  return (elements + Units<T>::per - 1) / Units<T>::per;
}

constexpr int64_t kAhead = 8;  // rows: they lie too far apart for the processor to foresee them

template <class T>
inline void foresee(const T* row, int64_t size) {
  for (int64_t i = 0; i < size; i += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(row + i);
}

// to[row][unit], zeros behind a row up to whole vectors.
template <class T>
void pack_rows(const T* x, int64_t x_row, int64_t rows, int64_t size, typename Units<T>::Type* to, int64_t step) {
  typedef uint32_t Loose __attribute__((vector_size(4 * kLane), aligned(2), may_alias));
  const int64_t whole = size / Units<T>::per / kLane * kLane, rest = size - whole * Units<T>::per;
  for (int64_t r = 0; r < rows; r++, x += x_row, to += step) {
    foresee(x + kAhead * x_row, r + kAhead < rows ? size : 0);
    for (int64_t u = 0; u < whole; u += kLane) *reinterpret_cast<Loose*>(to + u) = *reinterpret_cast<const Loose*>(x + u * Units<T>::per);
    if (rest == 0) continue;
    __builtin_memset(to + whole, 0, 4 * kLane);
    __builtin_memcpy(to + whole, x + whole * Units<T>::per, sizeof(T) * rest);
  }
}

// to[unit][row], zeros up to `step`.
template <class T>
void pack_across(const T* x, int64_t x_row, int64_t rows, int64_t size, typename Units<T>::Type* to, int64_t step) {
  constexpr int64_t per = Units<T>::per;
  typedef uint32_t Four __attribute__((vector_size(16)));
  typedef uint32_t LooseFour __attribute__((vector_size(16), aligned(2), may_alias));
  const int64_t whole = size / per / 4 * 4;
  auto row = [&](const T* from, int64_t r) { return r < rows ? Four(*reinterpret_cast<const LooseFour*>(from)) : Four{}; };
  for (int64_t r = 0; r < step; r += 4) {
    const T* from = x + r * x_row;
    for (int64_t i = kAhead; i < kAhead + 4; i++) foresee(from + i * x_row, r + i < rows ? size : 0);
    for (int64_t u = 0; u < whole; u += 4, from += 4 * per) {
      const Four a = row(from, r), b = row(from + x_row, r + 1), c = row(from + 2 * x_row, r + 2), d = row(from + 3 * x_row, r + 3);
      const Four ac = __builtin_shuffle(a, c, Four{0, 4, 1, 5}), AC = __builtin_shuffle(a, c, Four{2, 6, 3, 7});
      const Four bd = __builtin_shuffle(b, d, Four{0, 4, 1, 5}), BD = __builtin_shuffle(b, d, Four{2, 6, 3, 7});
      typename Units<T>::Type* at = to + u * step + r;
      *reinterpret_cast<LooseFour*>(at) = __builtin_shuffle(ac, bd, Four{0, 4, 1, 5});
      *reinterpret_cast<LooseFour*>(at + step) = __builtin_shuffle(ac, bd, Four{2, 6, 3, 7});
      *reinterpret_cast<LooseFour*>(at + 2 * step) = __builtin_shuffle(AC, BD, Four{0, 4, 1, 5});
      *reinterpret_cast<LooseFour*>(at + 3 * step) = __builtin_shuffle(AC, BD, Four{2, 6, 3, 7});
    }
  }
  for (int64_t u = whole; u < units<T>(size); u++) {
    typename Units<T>::Type* at = to + u * step;
    for (int64_t r = 0; r < step; r++) at[r] = 0;
    const bool half = (u + 1) * per > size;
    for (int64_t r = 0; r < rows; r++) __builtin_memcpy(at + r, x + r * x_row + u * per, half ? sizeof(T) : 4);
  }
}

// to[unit of rows][element], zeros up to `step`.
inline void pack_deep(const float* x, int64_t x_row, int64_t rows, int64_t size, float* to, int64_t step) { pack_rows(x, x_row, rows, size, to, step); }
inline void pack_deep(const bf16* x, int64_t x_row, int64_t rows, int64_t size, Pair* to, int64_t step) {
  for (int64_t r = 0; r < rows; r += 2, to += step) {
    const bf16 *low = x + r * x_row, *high = low + x_row;
    for (int64_t i = kAhead; i < kAhead + 2; i++) foresee(low + i * x_row, r + i < rows ? size : 0);
    if (r + 1 < rows)
      for (int64_t i = 0; i < size; i++) to[i] = low[i].bits | static_cast<Pair>(high[i].bits) << 16;
    else
      for (int64_t i = 0; i < size; i++) to[i] = low[i].bits;
    for (int64_t i = size; i < step; i++) to[i] = 0;
  }
}

template <class T>
void store_rows(const float* from, int64_t step, int64_t rows, int64_t size, float factor, T* to, int64_t to_row) {
  for (int64_t r = 0; r < rows; r++, from += step, to += to_row) {
    int64_t i = 0;
    for (; i + kLane <= size; i += kLane) write(to + i, read(from + i) * factor);
    for (; i < size; i++) store(to + i, from[i] * factor);
  }
}

template <class T>
void zero_rows(int64_t rows, int64_t size, T* to, int64_t to_row) {
  for (int64_t r = 0; r < rows; r++) __builtin_memset(to + r * to_row, 0, sizeof(T) * size);
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
