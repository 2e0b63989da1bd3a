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

// The normal distribution function of x and exp(-x^2 / 2). The function below -|x| is the exponential times a polynomial in
// t = 1 / (1 + 0.26 |x|), the form of Abramowitz and Stegun 7.1.26, fitted for least relative error on [0, 8], at most 3e-7: the
// exponential serves function and density, and the lower tail keeps its digits.
struct Normal {
  float below, exponential;
};
inline Normal normal_of(float x) {
  const float size = x < 0 ? -x : x, e = exp_below(-0.5f * x * x), t = 1.0f / (1.0f + 0.26f * size);
  float p = -0.0756109616f;
  p = p * t + 0.239099536f;
  p = p * t - 0.122049968f;
  p = p * t + 0.178784449f;
  p = p * t + 0.0680266272f;
  p = p * t + 0.108333645f;
  p = p * t + 0.103416473f;
  const float tail = p * t * e;
  return {x < 0 ? tail : 1.0f - tail, e};
}

// y = f(x).
template <Function f>
inline float apply(float x, float slope) {
  if constexpr (f == Function::Relu) return x <= 0 ? 0.f : x;  // a NaN stays one
  if constexpr (f == Function::Relu6) return x <= 0 ? 0.f : x >= 6 ? 6.f : x;
  if constexpr (f == Function::LeakyRelu) return x <= 0 ? x * slope : x;
  if constexpr (f == Function::Sigmoid) return sigmoid_of(x);
  if constexpr (f == Function::GeluExact) return x * normal_of(x).below;
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
  if constexpr (f == Function::GeluExact) {
    const Normal n = normal_of(v);
    return n.below + v * 0.39894228f * n.exponential;
  }
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
