// What cuda/tensor_core.cuh promises, on the CPU. A copy's destination is NaN until its thread has waited for it. Products are exact
// and a sum of one instruction is rounded toward zero, as tensor cores are known to round (Fasi et al. 2021, PeerJ CS 7:e330).
#pragma once
#include "emulated/language.h"

namespace graft::cuda {

inline void copy_later(void* to, const void* from, int bytes) { emulated::copy_later(to, from, static_cast<size_t>(bytes), 16); }
inline void commit_copies() { emulated::commit_copies(); }
template <int Newest>
void wait_copies() {
  emulated::wait_copies(Newest);
}

template <bool kTransposed>
void load_four_matrices(uint32_t (&r)[4], const void* row, emulated::Place place) {
  emulated::require_aligned(row, 16);
  emulated::warp_barrier(0xFFFFFFFFu, &row, sizeof row, place);
  const int g = emulated::lane() / 4, t = emulated::lane() % 4;
  for (int i = 0; i < 4; i++) {
    auto element = [&](int line, int column) -> uint32_t {
      const uint16_t* start;
      std::memcpy(&start, emulated::exchanged(8 * i + line), sizeof start);
      return start[column];
    };
    r[i] = kTransposed ? element(2 * t, g) | element(2 * t + 1, g) << 16 : element(g, 2 * t) | element(g, 2 * t + 1) << 16;
  }
}
inline void load_matrices(uint32_t (&r)[4], const void* row, GRAFT_PLACE) { load_four_matrices<false>(r, row, {file, line}); }
inline void load_matrices_transposed(uint32_t (&r)[4], const void* row, GRAFT_PLACE) { load_four_matrices<true>(r, row, {file, line}); }

struct Fragments {
  uint32_t a[4], b[2];
};

inline float toward_zero(double v) {
  const float nearest = static_cast<float>(v);
  return std::fabs(static_cast<double>(nearest)) > std::fabs(v) && std::isfinite(v) ? std::nextafterf(nearest, 0) : nearest;
}

// `unpack` gives the numbers of one register, of which a row of a and a column of b have four lanes' a[i], a[i + 2] and b[0], b[1].
template <int kNumbers, class Unpack>
void multiply_all(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, emulated::Place place, Unpack unpack) {
  const Fragments mine{{a[0], a[1], a[2], a[3]}, {b0, b1}};
  emulated::warp_barrier(0xFFFFFFFFu, &mine, sizeof mine, place);
  const int g = emulated::lane() / 4, t = emulated::lane() % 4;
  float rows[2][8 * kNumbers], columns[2][8 * kNumbers];
  for (int i = 0; i < 4; i++) {
    Fragments left, right[2];
    std::memcpy(&left, emulated::exchanged(4 * g + i), sizeof left);
    for (int j = 0; j < 2; j++) std::memcpy(&right[j], emulated::exchanged(4 * (2 * t + j) + i), sizeof right[j]);
    for (int half = 0; half < 2; half++)
      for (int j = 0; j < 2; j++) {
        unpack(left.a[j + 2 * half], &rows[j][(4 * half + i) * kNumbers]);
        unpack(right[j].b[half], &columns[j][(4 * half + i) * kNumbers]);
      }
  }
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++) {
      double sum = 0;
      for (int l = 0; l < 8 * kNumbers; l++) sum += static_cast<double>(rows[i][l]) * columns[j][l];
      c[2 * i + j] = toward_zero(sum + c[2 * i + j]);
    }
}
inline void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, GRAFT_PLACE) {
  multiply_all<2>(c, a, b0, b1, {file, line}, [](uint32_t pair, float* v) {
    v[0] = __uint_as_float(pair << 16);
    v[1] = __uint_as_float(pair & 0xFFFF0000u);
  });
}
inline void multiply_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, GRAFT_PLACE) {
  multiply_all<1>(c, a, b0, b1, {file, line}, [](uint32_t bits, float* v) { v[0] = __uint_as_float(bits & 0xFFFFE000u); });
}
inline uint32_t pair_of(float low, float high) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(low)) | static_cast<uint32_t>(__bfloat16_as_ushort(__float2bfloat16_rn(high))) << 16;
}
// To nearest, halves away from zero; infinities and NaN stay what they are.
inline uint32_t tf32_of(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return (std::isfinite(v) ? bits + 0x1000u : bits | (std::isnan(v) ? 0x400000u : 0)) & 0xFFFFE000u;
}

}  // namespace graft::cuda
