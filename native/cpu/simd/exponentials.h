// The inner loop of softmax cross-entropy: exponentials of a piece of a row, their sum, and the largest of the piece after it.
#pragma once
#include "vectors.h"

namespace graft::cpu::GRAFT_ISA_NAMESPACE {

#ifdef __AVX512F__

// e = exp(x - shift) for n elements, in place if asked; sum of e; most of -infinity and the first `ahead` <= n of `next`; where `added`, `plain` is the sum of x.
template <bool added>
inline void exponentials(const float* x, float shift, int64_t n, float* e, float& sum, float& plain, const float* next, int64_t ahead, float& largest) {
  Floats s = {}, t = {}, m = Floats{} - __builtin_inff();
  int64_t i = 0;
  for (; i + kLane <= ahead; i += kLane) {
    const Floats u = read(x + i), v = exp_below(u - shift), y = read(next + i);
    m = y > m ? y : m;
    if constexpr (added) t += u;
    *reinterpret_cast<Floats*>(e + i) = v;
    s += v;
  }
  float rest = 0, top = -__builtin_inff();
  for (int64_t j = i; j < ahead; j++) top = next[j] > top ? next[j] : top;
  for (; i + kLane <= n; i += kLane) {
    const Floats u = read(x + i), v = exp_below(u - shift);
    if constexpr (added) t += u;
    *reinterpret_cast<Floats*>(e + i) = v;
    s += v;
  }
  float whole = 0;
  for (; i < n; i++) {
    whole += x[i];
    e[i] = exp_below(x[i] - shift);
    rest += e[i];
  }
  for (int64_t j = 0; j < kLane; j++) {
    rest += s[j];
    whole += t[j];
    top = m[j] > top ? m[j] : top;
  }
  sum = rest;
  plain = whole;
  largest = top;
}

#else

template <bool added>
inline void exponentials(const float* x, float shift, int64_t n, float* e, float& sum, float& plain, const float* next, int64_t ahead, float& largest) {
  float s = 0, t = 0, m = -__builtin_inff();
#pragma omp simd reduction(+ : s, t) reduction(max : m)
  for (int64_t i = 0; i < ahead; i++) {
    float v = exp_below(x[i] - shift);
    if constexpr (added) t += x[i];
    m = next[i] > m ? next[i] : m;
    e[i] = v;
    s += v;
  }
#pragma omp simd reduction(+ : s, t)
  for (int64_t i = ahead; i < n; i++) {
    float v = exp_below(x[i] - shift);
    if constexpr (added) t += x[i];
    e[i] = v;
    s += v;
  }
  sum = s;
  plain = t;
  largest = m;
}

#endif

}  // namespace graft::cpu::GRAFT_ISA_NAMESPACE
