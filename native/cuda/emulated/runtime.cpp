#include "emulated/runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace {

constexpr size_t kMemory = size_t{8} << 30;  // of the emulated device

std::mutex lock;
std::map<const char*, size_t> blocks;  // address -> bytes
size_t held = 0;

bool within_a_block(const void* address, size_t bytes) {
  std::lock_guard<std::mutex> guard(lock);
  const char* p = static_cast<const char*>(address);
  auto after = blocks.upper_bound(p);
  if (after == blocks.begin()) return false;
  auto block = std::prev(after);
  return p + bytes <= block->first + block->second;
}

}  // namespace

const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
  }
  return "unknown error";
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  *p = cudaDeviceProp{};
  std::snprintf(p->name, sizeof p->name, "emulated on the CPU");
  p->major = 8;
  p->multiProcessorCount = 4;
  p->totalGlobalMem = kMemory;
  p->sharedMemPerBlockOptin = 99 << 10;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** address, size_t bytes) {
  std::lock_guard<std::mutex> guard(lock);
  if (bytes > kMemory - held) return cudaErrorMemoryAllocation;
  // The granularity of cudaMalloc; the size is not rounded, so that a sanitizer sees the end.
  if (posix_memalign(address, 256, bytes ? bytes : 1) != 0) return cudaErrorMemoryAllocation;
  blocks[static_cast<const char*>(*address)] = bytes;
  held += bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* address) {
  if (!address) return cudaSuccess;
  std::lock_guard<std::mutex> guard(lock);
  auto block = blocks.find(static_cast<const char*>(address));
  if (block == blocks.end()) return cudaErrorInvalidValue;
  held -= block->second;
  blocks.erase(block);
  std::free(address);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  std::lock_guard<std::mutex> guard(lock);
  *free = kMemory - held;
  *total = kMemory;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  if (bytes == 0) return cudaSuccess;
  if (kind != cudaMemcpyDeviceToHost && !within_a_block(to, bytes)) return cudaErrorInvalidValue;
  if (kind != cudaMemcpyHostToDevice && !within_a_block(from, bytes)) return cudaErrorInvalidValue;
  std::memmove(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* address, int value, size_t bytes, cudaStream_t) {
  if (bytes == 0) return cudaSuccess;
  if (!within_a_block(address, bytes)) return cudaErrorInvalidValue;
  std::memset(address, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
