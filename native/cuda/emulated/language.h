// The part of the CUDA language that the kernels use, for g++: keywords, built-in variables, barriers, exchanges in a warp, numbers.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "emulated/threads.h"
#include "number_formats.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __restrict__ __restrict

#define threadIdx (::graft::emulated::thread_index())
#define blockIdx (::graft::emulated::block_index())
#define blockDim (::graft::emulated::block_shape())
#define gridDim (::graft::emulated::grid_shape())

// A kernel's static shared memory: one site for each place in the source and instance of a template.
#define GRAFT_SHARED(type, name, count)  \
  static const char name##_site = 0;     \
  type* const name = static_cast<type*>(::graft::emulated::shared_memory(&name##_site, sizeof(type) * (count), 16))
#define GRAFT_SHARED_DYNAMIC(type, name) type* const name = static_cast<type*>(::graft::emulated::dynamic_shared_memory())

using dim3 = graft::emulated::Coordinates;

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) ushort4 {
  unsigned short x, y, z, w;
};

struct __nv_bfloat16 {
  unsigned short bits;
};
inline __nv_bfloat16 __float2bfloat16_rn(float v) { return {graft::float_to_bf16(v)}; }
inline float __fdividef(float a, float b) { return a / b; }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 v) { return v.bits; }
inline float __uint_as_float(unsigned bits) { return graft::float_of_bits(bits); }

// The place of a call is where the kernel's source stands, however the compiler unrolls it.
#define GRAFT_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(GRAFT_PLACE) { graft::emulated::block_barrier({file, line}); }
inline void __syncwarp(uint32_t mask = 0xFFFFFFFFu, GRAFT_PLACE) { graft::emulated::warp_barrier(mask, &mask, 0, {file, line}); }

namespace graft::emulated {

template <class T>
T exchange(uint32_t mask, T value, int from, Place place) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kExchanged);
  warp_barrier(mask, &value, sizeof(T), place);
  T result;
  std::memcpy(&result, exchanged(from), sizeof(T));
  return result;
}

}  // namespace graft::emulated

template <class T>
T __shfl_sync(uint32_t mask, T value, int from, GRAFT_PLACE) {
  return graft::emulated::exchange(mask, value, from & 31, {file, line});
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int with, GRAFT_PLACE) {
  return graft::emulated::exchange(mask, value, (graft::emulated::lane() ^ with) & 31, {file, line});
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned by, GRAFT_PLACE) {
  const int lane = graft::emulated::lane();
  return graft::emulated::exchange(mask, value, lane + by < 32 ? lane + static_cast<int>(by) : lane, {file, line});
}
inline uint32_t __ballot_sync(uint32_t mask, int condition, GRAFT_PLACE) {
  graft::emulated::warp_barrier(mask, &condition, sizeof condition, {file, line});
  uint32_t all = 0;
  for (int i = 0; i < 32; i++) {
    int value;
    std::memcpy(&value, graft::emulated::exchanged(i), sizeof value);
    if ((mask >> i & 1) && value != 0) all |= 1u << i;
  }
  return all;
}

// Threads of a block never run at once here, and blocks come one after another.
inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long v) {
  const unsigned long long before = *p;
  *p += v;
  return before;
}
inline int atomicOr(int* p, int v) {
  const int before = *p;
  *p |= v;
  return before;
}

using std::isfinite;
using std::isnan;
