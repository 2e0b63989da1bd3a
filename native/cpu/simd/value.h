// What every kernel file of this folder shares: element types, the split of work over threads, elementary functions as
// polynomials that vectorise. Everything lies in the namespace of the instruction set it is compiled for, and no template of
// the standard library is used: the linker would keep one copy of such a function for all instruction sets.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "table.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {

struct bf16 {
  uint16_t bits;
};

inline float from_bits(uint32_t u) {
  float f;
  __builtin_memcpy(&f, &u, 4);
  return f;
}
inline uint32_t to_bits(float f) {
  uint32_t u;
  __builtin_memcpy(&u, &f, 4);
  return u;
}

inline float load(const float* p) { return *p; }
inline float load(const bf16* p) { return from_bits(static_cast<uint32_t>(p->bits) << 16); }
inline void store(float* p, float v) { *p = v; }
// To nearest, ties to even; a NaN stays one.
inline void store(bf16* p, float v) {
  uint32_t u = to_bits(v);
  uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  p->bits = static_cast<uint16_t>(v == v ? rounded : (u >> 16) | 0x40u);
}

template <class A>
inline A least(A a, A b) { return a < b ? a : b; }
template <class A>
inline A most(A a, A b) { return a > b ? a : b; }

// Elements a thread takes at a time; below it nothing is split.
constexpr int64_t kBlock = 16384;

// f(begin, end) over blocks of [0, n). The blocks do not depend on the number of threads, nor does what is computed in them.
template <class F>
inline void over_elements(int64_t n, const F& f) {
  int64_t blocks = (n + kBlock - 1) / kBlock;
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (int64_t b = 0; b < blocks; b++) f(b * kBlock, least(n, (b + 1) * kBlock));
}

// f(i) for i in [0, n), each costing about `elements` elements of work.
template <class F>
inline void over_items(int64_t n, int64_t elements, const F& f) {
#pragma omp parallel for schedule(static) if (n > 1 && n * elements > kBlock)
  for (int64_t i = 0; i < n; i++) f(i);
}

// f(T()) with the type that `type` names.
template <class F>
inline void with_type(Store type, const F& f) {
  if (type == Store::BF16) f(bf16());
  else f(float());
}

// exp within 2 units in the last place; 0 below -87.33, infinity above 88.72. Range reduction by ln 2 in two parts, then the
// Taylor polynomial of degree 6 on [-ln 2 / 2, ln 2 / 2] fitted for least error.
inline float exp_of(float x) {
  float bounded = x < -87.33f ? -87.33f : x;
  bounded = bounded > 88.72f ? 88.72f : bounded;
  float shifted = bounded * 1.44269504f + 12582912.f;  // 1.5 * 2^23: the low bits now hold the rounded quotient
  float n = shifted - 12582912.f;
  float r = bounded - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // Half the power at a time: 2^128 has no exponent of its own.
  int32_t k = static_cast<int32_t>(to_bits(shifted)) - 0x4b400000;
  int32_t half = k >> 1;
  float low = from_bits(static_cast<uint32_t>(half + 127) << 23), high = from_bits(static_cast<uint32_t>(k - half + 127) << 23);
  float y = p * low * high;
  y = x < -87.33f ? 0.f : y;
  y = x > 88.72f ? from_bits(0x7f800000u) : y;
  return x == x ? y : x;
}

// exp for x <= 0, at most 1.8e-7 off relatively down to -10 and 4e-7 below: what softmax needs, at half the operations.
inline float exp_below(float x) {
  float bounded = x < -87.33f ? -87.33f : x;
  float shifted = bounded * 1.44269504f + 12582912.f;
  float r = bounded - (shifted - 12582912.f) * 0.69314718f;
  float p = 8.312501944601536e-3f;
  p = p * r + 4.189033433794975e-2f;
  p = p * r + 1.6667115688323975e-1f;
  p = p * r + 4.99992311000824e-1f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // The quotient goes straight into the exponent.
  float y = from_bits(to_bits(p) + (to_bits(shifted) << 23));
  return x < -87.33f ? 0.f : y;
}

inline float sigmoid_of(float x) { return 1.0f / (1.0f + exp_of(-x)); }

// Rational approximation on [-4, 4], where erf reaches 1 in single precision (minimax coefficients as in Eigen's generic perf).
inline float erf_of(float x) {
  float b = x < -4.f ? -4.f : x;
  b = b > 4.f ? 4.f : b;
  float s = b * b;
  float p = -2.72614225801306e-10f;
  p = p * s + 2.77068142495902e-08f;
  p = p * s - 2.10102402082508e-06f;
  p = p * s - 5.69250639462346e-05f;
  p = p * s - 7.34990630326855e-04f;
  p = p * s - 2.95459980854025e-03f;
  p = p * s - 1.60960333262415e-02f;
  float q = -1.45660718464996e-05f;
  q = q * s - 2.13374055278905e-04f;
  q = q * s - 1.68282697438203e-03f;
  q = q * s - 7.37332916720468e-03f;
  q = q * s - 1.42647390514189e-02f;
  return b * p / q;
}

// y = f(x).
template <Function f>
inline float apply(float x, float slope) {
  if constexpr (f == Function::Relu) return x <= 0 ? 0.f : x;  // a NaN stays one
  if constexpr (f == Function::Relu6) return x <= 0 ? 0.f : x >= 6 ? 6.f : x;
  if constexpr (f == Function::LeakyRelu) return x <= 0 ? x * slope : x;
  if constexpr (f == Function::Sigmoid) return sigmoid_of(x);
  if constexpr (f == Function::GeluExact) return 0.5f * x * (1.0f + erf_of(x * 0.70710678f));
  if constexpr (f == Function::GeluTanh) return x * sigmoid_of(1.59576912f * (x + 0.044715f * x * x * x));  // 2 sqrt(2/pi)
  if constexpr (f == Function::Silu) return x * sigmoid_of(x);
  return x;
}

// f'(.) from the result y where that is enough (relu family, sigmoid), else from x (gelu, silu).
template <Function f>
inline float slope_at(float v, float slope) {
  if constexpr (f == Function::Relu) return v > 0 ? 1.f : 0.f;
  if constexpr (f == Function::Relu6) return v > 0 && v < 6 ? 1.f : 0.f;
  if constexpr (f == Function::LeakyRelu) return v > 0 ? 1.f : slope;
  if constexpr (f == Function::Sigmoid) return v * (1.f - v);
  if constexpr (f == Function::GeluExact) return 0.5f * (1.0f + erf_of(v * 0.70710678f)) + v * 0.39894228f * exp_of(-0.5f * v * v);
  if constexpr (f == Function::GeluTanh) {
    float s = sigmoid_of(1.59576912f * (v + 0.044715f * v * v * v));
    return s + v * s * (1.f - s) * 1.59576912f * (1.f + 0.134145f * v * v);
  }
  if constexpr (f == Function::Silu) {
    float s = sigmoid_of(v);
    return s + v * s * (1.f - s);
  }
  return 1.f;
}

// g(constant) where constant.value is the function: one compiled loop per function.
template <Function f>
struct Constant {
  static constexpr Function value = f;
};
template <class G>
inline void with_function(Function f, const G& g) {
  switch (f) {
    case Function::None: return g(Constant<Function::None>());
    case Function::Relu: return g(Constant<Function::Relu>());
    case Function::Relu6: return g(Constant<Function::Relu6>());
    case Function::LeakyRelu: return g(Constant<Function::LeakyRelu>());
    case Function::Sigmoid: return g(Constant<Function::Sigmoid>());
    case Function::GeluExact: return g(Constant<Function::GeluExact>());
    case Function::GeluTanh: return g(Constant<Function::GeluTanh>());
    case Function::Silu: return g(Constant<Function::Silu>());
  }
}

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
