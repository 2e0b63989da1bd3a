// The inner loop of softmax cross-entropy: exponentials of a piece of a row, their sum, and the largest of the piece after it.
#pragma once
#include "value.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {

#ifdef __AVX512F__

typedef float Floats __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t Words __attribute__((vector_size(64)));
constexpr int64_t kLane = 16;

// Bits of 2^(j/16), less j << 19: adding k << 19 to entry k mod 16 gives the bits of 2^(k/16).
constexpr Words kSixteenths = {0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
                              0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};

// exp for x <= 0, at most 2.2e-7 off relatively; 0 below -87.33. A cubic on [-ln 2 / 32, ln 2 / 32] times 2^(k/16) from the table:
// the loop below is bound by the multipliers, and this leaves them 7 operations of 10.
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

// e = exp(x - shift) for n elements, in place if asked; sum of e; most of -infinity and the first `ahead` <= n of `next`.
inline void exponentials(const float* x, float shift, int64_t n, float* e, float& sum, const float* next, int64_t ahead, float& largest) {
  Floats s = {}, m = Floats{} - __builtin_inff();
  int64_t i = 0;
  for (; i + kLane <= ahead; i += kLane) {
    const Floats v = exp_below(*reinterpret_cast<const Floats*>(x + i) - shift), y = *reinterpret_cast<const Floats*>(next + i);
    m = y > m ? y : m;
    *reinterpret_cast<Floats*>(e + i) = v;
    s += v;
  }
  float rest = 0, top = -__builtin_inff();
  for (int64_t j = i; j < ahead; j++) top = next[j] > top ? next[j] : top;
  for (; i + kLane <= n; i += kLane) {
    const Floats v = exp_below(*reinterpret_cast<const Floats*>(x + i) - shift);
    *reinterpret_cast<Floats*>(e + i) = v;
    s += v;
  }
  for (; i < n; i++) {
    e[i] = exp_below(x[i] - shift);
    rest += e[i];
  }
  for (int64_t j = 0; j < kLane; j++) {
    rest += s[j];
    top = m[j] > top ? m[j] : top;
  }
  sum = rest;
  largest = top;
}

#else

inline void exponentials(const float* x, float shift, int64_t n, float* e, float& sum, const float* next, int64_t ahead, float& largest) {
  float s = 0, m = -__builtin_inff();
#pragma omp simd reduction(+ : s) reduction(max : m)
  for (int64_t i = 0; i < ahead; i++) {
    float v = exp_below(x[i] - shift);
    m = next[i] > m ? next[i] : m;
    e[i] = v;
    s += v;
  }
#pragma omp simd reduction(+ : s)
  for (int64_t i = ahead; i < n; i++) {
    float v = exp_below(x[i] - shift);
    e[i] = v;
    s += v;
  }
  sum = s;
  largest = m;
}

#endif

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
