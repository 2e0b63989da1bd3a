// A driver without a GPU: the functions of libcuda.so.1 that the probe asks, with the answers that a test sets. All others are missing.
#include "stub_driver.h"

#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))

static graft::test::StubDriver stub;

EXPORT graft::test::StubDriver* graft_stub_driver() { return &stub; }
EXPORT CUresult cuInit(unsigned) { return stub.init; }
EXPORT CUresult cuDriverGetVersion(int* version) { *version = stub.version; return CUDA_SUCCESS; }
EXPORT CUresult cuGetErrorName(CUresult error, const char** name) {
  if (error != CUDA_ERROR_SYSTEM_DRIVER_MISMATCH) return CUDA_ERROR_INVALID_VALUE;
  *name = "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH";
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetCount(int* count) { *count = stub.count; return CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGet(CUdevice* device, int ordinal) { *device = ordinal; return CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGetName(char* name, int length, CUdevice) { std::strncpy(name, stub.name, length); return CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  *value = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? stub.major : stub.minor;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice) { *bytes = stub.bytes; return CUDA_SUCCESS; }
EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  if (stub.retain != CUDA_SUCCESS) return stub.retain;
  *context = reinterpret_cast<CUcontext>(&stub);
  stub.held++;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { stub.held--; return CUDA_SUCCESS; }
EXPORT CUresult cuCtxPushCurrent_v2(CUcontext) { return CUDA_SUCCESS; }
EXPORT CUresult cuCtxPopCurrent_v2(CUcontext*) { return CUDA_SUCCESS; }
EXPORT CUresult cuMemGetInfo_v2(size_t* free, size_t* total) { *free = stub.free; *total = stub.bytes; return stub.memory; }
