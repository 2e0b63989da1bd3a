// Vectors of the instruction set's width, for loops that the compiler would not lay out this way by itself.
#pragma once
#include "value.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {

#if defined(__AVX512F__)
constexpr int64_t kLane = 16;
#elif defined(__AVX2__)
constexpr int64_t kLane = 8;
#else
constexpr int64_t kLane = 4;
#endif
typedef float Floats __attribute__((vector_size(4 * kLane), aligned(4), may_alias));
typedef int32_t Words __attribute__((vector_size(4 * kLane)));

inline Floats read(const float* p) { return *reinterpret_cast<const Floats*>(p); }
inline void write(float* p, Floats v) { *reinterpret_cast<Floats*>(p) = v; }

// Each element beside the one `by` places away, a power of 2.
template <int by>
inline Floats turned(Floats v) {
  Words places;
  for (int i = 0; i < kLane; i++) places[i] = i ^ by;
  return __builtin_shuffle(v, places);
}
inline float total(Floats v) {
  if constexpr (kLane > 8) v += turned<8>(v);
  if constexpr (kLane > 4) v += turned<4>(v);
  v += turned<2>(v);
  v += turned<1>(v);
  return v[0];
}
inline Floats greater(Floats a, Floats b) { return a > b ? a : b; }
inline float largest(Floats v) {
  if constexpr (kLane > 8) v = greater(v, turned<8>(v));
  if constexpr (kLane > 4) v = greater(v, turned<4>(v));
  v = greater(v, turned<2>(v));
  return greater(v, turned<1>(v))[0];
}

#ifdef __AVX512F__

// Bits of 2^(j/16), less j << 19: adding k << 19 to entry k mod 16 gives the bits of 2^(k/16).
constexpr Words kSixteenths = {0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
                              0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};

// exp for x <= 0, at most 2.2e-7 off relatively; 0 below -87.33. A cubic on [-ln 2 / 32, ln 2 / 32] times 2^(k/16) from the table:
// softmax is bound by the multipliers, and this leaves them 7 operations of 10.
inline Floats exp_below(Floats x) {
  const Floats shifted = x * 23.0831207f + 12582912.f;  // 16 / ln 2; the constant as in value.h
  const Floats r = x - (shifted - 12582912.f) * 0.0433216989f;
  const Floats p = ((r * 1.6666667e-1f + 0.5f) * r + 1.f) * r + 1.f;
  Words k;
  Floats scale;
  __builtin_memcpy(&k, &shifted, sizeof k);
  const Words power = __builtin_shuffle(kSixteenths, k) + (k << 19);
  __builtin_memcpy(&scale, &power, sizeof scale);
  return x < -87.33f ? Floats{} : p * scale;
}

#else

// As exp_below of value.h.
inline Floats exp_below(Floats x) {
  const Floats least = Floats{} - 87.33f, bounded = x < least ? least : x;
  const Floats shifted = bounded * 1.44269504f + 12582912.f;
  const Floats r = bounded - (shifted - 12582912.f) * 0.69314718f;
  const Floats p = ((((r * 8.312501944601536e-3f + 4.189033433794975e-2f) * r + 1.6667115688323975e-1f) * r + 4.99992311000824e-1f) * r + 1.f) * r + 1.f;
  Words k, bits;
  Floats y;
  __builtin_memcpy(&k, &shifted, sizeof k);
  __builtin_memcpy(&bits, &p, sizeof bits);
  bits += k << 23;
  __builtin_memcpy(&y, &bits, sizeof y);
  return x < least ? Floats{} : y;
}

#endif

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
