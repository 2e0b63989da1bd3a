#include "driver.h"

#include <cuda.h>
#include <cuda_runtime_api.h>

#include "error.h"

namespace graft::cuda {
namespace {

using Asking = decltype(&cuPointerGetAttributes);

// By way of the runtime, which has the driver open: nothing of it is linked.
Asking find() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t status = cudaGetDriverEntryPointByVersion("cuPointerGetAttributes", &function, 11000, cudaEnableDefault, &found);
  if (status != cudaSuccess || found != cudaDriverEntryPointSuccess || !function)
    throw Error(GRAFT_UNAVAILABLE, "the NVIDIA driver lacks cuPointerGetAttributes");
  return reinterpret_cast<Asking>(function);
}

}  // namespace

Allocation allocation_of(int64_t address) {
  static const Asking ask = find();
  unsigned memory = 0, managed = 0;
  int device = -1;
  CUdeviceptr begin = 0;
  size_t bytes = 0;
  CUpointer_attribute attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                      CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, CU_POINTER_ATTRIBUTE_RANGE_SIZE};
  void* answers[] = {&memory, &managed, &device, &begin, &bytes};
  const CUresult status = ask(5, attributes, answers, static_cast<CUdeviceptr>(address));
  if (status != CUDA_SUCCESS) throw Error(GRAFT_INTERNAL, text("CUDA, asking about an address: error ", static_cast<int>(status)));
  Allocation a;
  if (managed) a.kind = Allocation::Kind::Managed;
  else if (memory == CU_MEMORYTYPE_HOST) a.kind = Allocation::Kind::Host;
  else if (memory == CU_MEMORYTYPE_DEVICE) a.kind = Allocation::Kind::Device;
  a.device = device;
  a.begin = begin;
  a.bytes = bytes;
  return a;
}

}  // namespace graft::cuda
