// The inner loop of softmax cross-entropy: exponentials of a piece of a row, their sum, and the largest of the piece after it.
#pragma once
#include "vectors.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {

#ifdef __AVX512F__

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
