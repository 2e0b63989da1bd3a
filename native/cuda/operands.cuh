// Operands of a kernel: what it reads, and what happens to what it writes.
#pragma once
#include "activation.cuh"
#include "divisor.h"
#include "kernels.h"

namespace graft::cuda {

constexpr int kThreads = 256;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

__device__ __forceinline__ int64_t global_thread() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

// The gradient of one input; null where it is not wanted.
template <class T>
struct Gradient {
  T* address = nullptr;
  bool accumulate = false;
  __device__ __forceinline__ void put(int64_t i, float v) const { address[i] = stored<T>(accumulate ? float_of(address[i]) + v : v); }
};

template <class T>
Gradient<T> gradient_of(const Request& r, const Args& a, size_t input) {
  const GradMode mode = mode_of(r, input);
  if (mode == GradMode::Ignore) return {};
  return {static_cast<T*>(a.din[input]), mode == GradMode::Accumulate};
}

// The gradient of the result before its epilogue: (dout + dout2) * activation'(activated).
template <class T>
struct Incoming {
  const T* dout;
  const T* dout2;
  const T* activated;
  Activation activation;
  float slope;
  __device__ __forceinline__ float operator()(int64_t i) const {
    float g = float_of(dout[i]);
    if (dout2) g += float_of(dout2[i]);
    if (activated) g *= slope_from_result(activation, slope, float_of(activated[i]));
    return g;
  }
};

template <class T>
Incoming<T> incoming(const Request& r, const Args& a) {
  const bool activated = r.epilogue.activation != Activation::None;
  return {static_cast<const T*>(a.dout), static_cast<const T*>(r.second_gradient ? a.dout2 : nullptr),
          static_cast<const T*>(activated ? a.activated : nullptr), r.epilogue.activation, r.epilogue.slope};
}

// The result of a forward pass with its epilogue.
template <class T>
struct Result {
  T* out;
  const T* residual;
  Activation activation;
  float slope;
  __device__ __forceinline__ void put(int64_t i, float v) const {
    if (residual) v += float_of(residual[i]);
    out[i] = stored<T>(activate(activation, slope, v));
  }
};

template <class T>
Result<T> result(const Request& r, const Args& a) {
  return {static_cast<T*>(a.out[0]), static_cast<const T*>(r.epilogue.residual ? a.residual : nullptr), r.epilogue.activation, r.epilogue.slope};
}

template <class T>
const T* in(const Args& a, size_t i) {
  return static_cast<const T*>(a.in[i]);
}

// Four neighbouring elements at once, 16 bytes of F32 or 8 of BF16: `whole` says that all operands are aligned to that. Loops run to
// four whatever the count, so that the elements stay in registers.
struct Four {
  float v[4];
};

__device__ __forceinline__ Four load4(const float* p, int64_t i, int count, bool whole) {
  Four x = {{0, 0, 0, 0}};
  if (whole && count == 4) {
    const float4 q = *reinterpret_cast<const float4*>(p + i);
    x.v[0] = q.x, x.v[1] = q.y, x.v[2] = q.z, x.v[3] = q.w;
  } else {
#pragma unroll
    for (int k = 0; k < 4; k++)
      if (k < count) x.v[k] = p[i + k];
  }
  return x;
}
__device__ __forceinline__ Four load4(const Bf16* p, int64_t i, int count, bool whole) {
  Four x = {{0, 0, 0, 0}};
  if (whole && count == 4) {
    const ushort4 q = *reinterpret_cast<const ushort4*>(p + i);
    x.v[0] = float_of(Bf16{q.x}), x.v[1] = float_of(Bf16{q.y}), x.v[2] = float_of(Bf16{q.z}), x.v[3] = float_of(Bf16{q.w});
  } else {
#pragma unroll
    for (int k = 0; k < 4; k++)
      if (k < count) x.v[k] = float_of(p[i + k]);
  }
  return x;
}
__device__ __forceinline__ void store4(float* p, int64_t i, int count, bool whole, const Four& x) {
  if (whole && count == 4) {
    *reinterpret_cast<float4*>(p + i) = float4{x.v[0], x.v[1], x.v[2], x.v[3]};
  } else {
#pragma unroll
    for (int k = 0; k < 4; k++)
      if (k < count) p[i + k] = x.v[k];
  }
}
__device__ __forceinline__ void store4(Bf16* p, int64_t i, int count, bool whole, const Four& x) {
  if (whole && count == 4) {
    *reinterpret_cast<ushort4*>(p + i) = ushort4{stored<Bf16>(x.v[0]).bits, stored<Bf16>(x.v[1]).bits, stored<Bf16>(x.v[2]).bits, stored<Bf16>(x.v[3]).bits};
  } else {
#pragma unroll
    for (int k = 0; k < 4; k++)
      if (k < count) p[i + k] = stored<Bf16>(x.v[k]);
  }
}

inline bool aligned_for_four() { return true; }
template <class T, class... More>
bool aligned_for_four(const T* first, const More*... more) {
  return reinterpret_cast<uintptr_t>(first) % (4 * sizeof(T)) == 0 && aligned_for_four(more...);
}

// Whether this run updates nothing, as a loss that it is judged by is not finite.
__device__ inline bool left_out(const StepBlock& step) {
  bool out = false;
  for (int i = 0; i < step.header->judged_losses; i++) out = out || !isfinite(step.loss[i]);
  return out;
}

// Functors are read where the launch put them (__grid_constant__), never copied into a thread's own memory.

// f(i, count, whole) for every run of four of n elements.
template <class F>
__global__ void __launch_bounds__(kThreads) by_fours(int64_t n, bool whole, const __grid_constant__ F f) {
  const int64_t i = 4 * global_thread();
  if (i < n) f(i, n - i < 4 ? static_cast<int>(n - i) : 4, whole);
}
template <class F>
void over_fours(const Device& d, int64_t n, bool whole, const F& f) {
  launch(by_fours<F>, {ceil_div(n, 4 * kThreads), kThreads, 0, d.stream}, n, whole, f);
}

// f(i) for every one of n elements.
template <class F>
__global__ void __launch_bounds__(kThreads) by_ones(int64_t n, const __grid_constant__ F f) {
  const int64_t i = global_thread();
  if (i < n) f(i);
}
template <class F>
void over_all(const Device& d, int64_t n, const F& f) {
  launch(by_ones<F>, {ceil_div(n, kThreads), kThreads, 0, d.stream}, n, f);
}

}  // namespace graft::cuda
