// What kernel files include in place of the CUDA headers: they compile with nvcc for a GPU, and with g++ for emulated/, which runs
// them on the CPU. Three things of the language have a form of their own here, as g++ cannot parse the original:
//   GRAFT_SHARED(type, name, count)     shared memory of a block, `count` elements of it
//   GRAFT_SHARED_DYNAMIC(type, name)    shared memory whose size the launch gives
//   launch(kernel, shape, arguments...) enqueues the kernel
#pragma once
#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#define GRAFT_SHARED(type, name, count) __shared__ type name[count]
#define GRAFT_SHARED_DYNAMIC(type, name)                       \
  extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
  type* name = reinterpret_cast<type*>(dynamic_shared)
#else
#include "emulated/language.h"
#include "emulated/runtime.h"
#include "emulated/streams.h"
#endif

#include <cstdint>
#include <tuple>

#include "error.h"

namespace graft::cuda {

// Storage of a bf16 number: the upper half of the F32 that it stands for.
struct Bf16 {
  uint16_t bits;
};

__device__ __forceinline__ float float_of(float v) { return v; }
__device__ __forceinline__ float float_of(Bf16 v) { return __uint_as_float(static_cast<unsigned>(v.bits) << 16); }

template <class T>
__device__ __forceinline__ T stored(float v);
template <>
__device__ __forceinline__ float stored<float>(float v) {
  return v;
}
template <>
__device__ __forceinline__ Bf16 stored<Bf16>(float v) {  // to nearest, ties to even
  return {__bfloat16_as_ushort(__float2bfloat16_rn(v))};
}

// Whether a device that reports this takes no more work from this process.
inline bool poisons(cudaError_t status) {
  return status == cudaErrorECCUncorrectable || status == cudaErrorIllegalAddress || status == cudaErrorLaunchTimeout ||
         (status >= cudaErrorContextIsDestroyed && status <= cudaErrorAssert) ||
         (status >= cudaErrorHardwareStackError && status <= cudaErrorLaunchFailure);
}

// Throws what a call of the runtime reports, with what was being done.
inline void check(cudaError_t status, const char* doing) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // it would be told again after the next launch
  throw Error(status == cudaErrorMemoryAllocation ? GRAFT_OUT_OF_MEMORY : GRAFT_INTERNAL, text("CUDA, ", doing, ": ", cudaGetErrorString(status),
                                   poisons(status) ? "; the device takes no more work from this process" : ""));
}

struct LaunchShape {
  int64_t blocks;
  int threads;
  size_t shared = 0;  // bytes of dynamic shared memory
  cudaStream_t stream = nullptr;
  int64_t rows = 1, layers = 1;  // blocks along y and z, each at most 65535
};

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const LaunchShape& shape, const Arguments&... arguments) {
  if (shape.blocks == 0 || shape.rows == 0 || shape.layers == 0) return;
  require(shape.blocks <= INT32_MAX && shape.rows <= 65535 && shape.layers <= 65535, "a launch of ", shape.blocks, " x ", shape.rows, " x ", shape.layers,
          " blocks is more than CUDA takes: the operands are too large");
  const dim3 grid(static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.rows), static_cast<unsigned>(shape.layers));
#if defined(__CUDACC__)
  kernel<<<grid, shape.threads, shape.shared, shape.stream>>>(static_cast<Parameters>(arguments)...);
  check(cudaGetLastError(), "launching a kernel");
#else
  const dim3 block(static_cast<unsigned>(shape.threads));
  emulated::enqueue(shape.stream, [kernel, grid, block, shared = shape.shared, values = std::tuple<Parameters...>(static_cast<Parameters>(arguments)...)] {
    emulated::launch(reinterpret_cast<const void*>(kernel), grid, block, shared, [&] { std::apply(kernel, values); });
  });
#endif
}

}  // namespace graft::cuda
