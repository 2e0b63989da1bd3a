#include "emulated/runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>

#include "driver.h"

namespace {

constexpr size_t kMemory = size_t{8} << 30;  // of the emulated device

std::mutex lock;
std::map<const char*, size_t> blocks;  // address -> bytes
size_t held = 0;
std::map<cudaStream_t, int64_t> streams{{nullptr, 0}};  // -> pieces of work
uintptr_t next_stream = 1 << 20;                        // handles are never used twice
int64_t waited = 0;

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
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
  }
  return "unknown error";
}

cudaError_t cudaGetLastError() { return cudaSuccess; }  // a failure is told by its call alone

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

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  graft::emulated::enqueued(stream);
  if (kind != cudaMemcpyDeviceToHost && !within_a_block(to, bytes)) return cudaErrorInvalidValue;
  if (kind != cudaMemcpyHostToDevice && !within_a_block(from, bytes)) return cudaErrorInvalidValue;
  std::memmove(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* address, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  graft::emulated::enqueued(stream);
  if (!within_a_block(address, bytes)) return cudaErrorInvalidValue;
  std::memset(address, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  std::lock_guard<std::mutex> guard(lock);
  *stream = reinterpret_cast<cudaStream_t>(next_stream++);
  streams[*stream] = 0;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::lock_guard<std::mutex> guard(lock);
  return stream && streams.erase(stream) ? cudaSuccess : cudaErrorInvalidResourceHandle;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  std::lock_guard<std::mutex> guard(lock);
  waited++;
  return streams.count(stream) ? cudaSuccess : cudaErrorInvalidResourceHandle;
}
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  std::lock_guard<std::mutex> guard(lock);
  *device = 0;
  return streams.count(stream) ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  *pool = nullptr;
  return properties->location.id == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolDestroy(cudaMemPool_t) { return cudaSuccess; }
cudaError_t cudaMallocFromPoolAsync(void** address, size_t bytes, cudaMemPool_t, cudaStream_t stream) {
  graft::emulated::enqueued(stream);
  return cudaMalloc(address, bytes);
}
cudaError_t cudaFreeAsync(void* address, cudaStream_t stream) {
  graft::emulated::enqueued(stream);
  return cudaFree(address);
}

namespace graft {

void emulated::enqueued(cudaStream_t stream) {
  std::lock_guard<std::mutex> guard(lock);
  auto found = streams.find(stream);
  if (found == streams.end()) throw std::runtime_error("work for a stream that is none");
  found->second++;
}
int64_t emulated::work_on(cudaStream_t stream) {
  std::lock_guard<std::mutex> guard(lock);
  return streams.at(stream);
}
int64_t emulated::waits() {
  std::lock_guard<std::mutex> guard(lock);
  return waited;
}

cuda::Allocation cuda::allocation_of(int64_t address) {
  std::lock_guard<std::mutex> guard(lock);
  const char* p = reinterpret_cast<const char*>(address);
  auto after = blocks.upper_bound(p);
  if (after == blocks.begin()) return {};
  auto block = std::prev(after);
  if (p >= block->first + block->second) return {};
  return {Allocation::Kind::Device, 0, reinterpret_cast<uint64_t>(block->first), block->second};
}

}  // namespace graft
