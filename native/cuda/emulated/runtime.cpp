#include "emulated/runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "driver.h"
#include "emulated/streams.h"
#include "emulated/streams_state.h"

using namespace graft::emulated;

namespace {

constexpr size_t kMemory = size_t{8} << 30;  // of the emulated device

using Blocks = std::map<const char*, size_t>;  // address -> bytes
Blocks blocks, pinned;
size_t held = 0;
int64_t until_refusal = 0, refusals = 0;  // allocations until one is refused, and how many are
bool was_refused = false;

// Whether the bytes lie within one of the blocks.
bool within(const Blocks& all, const void* address, size_t bytes) {
  const char* p = static_cast<const char*>(address);
  auto after = all.upper_bound(p);
  if (after == all.begin()) return false;
  auto block = std::prev(after);
  return p + bytes <= block->first + block->second;
}

cudaError_t take(void** address, size_t bytes) {
  if (until_refusal > 0) until_refusal--;
  if (until_refusal == 0 && refusals > 0) {
    refusals--;
    was_refused = true;
    return cudaErrorMemoryAllocation;
  }
  if (bytes > kMemory - held) return cudaErrorMemoryAllocation;
  // The granularity of cudaMalloc; the size is not rounded, so that a sanitizer sees the end.
  if (posix_memalign(address, 256, bytes ? bytes : 1) != 0) return cudaErrorMemoryAllocation;
  blocks[static_cast<const char*>(*address)] = bytes;
  held += bytes;
  return cudaSuccess;
}

// Whether it was memory.
bool give_back(void* address) {
  auto block = blocks.find(static_cast<const char*>(address));
  if (block == blocks.end()) return false;
  held -= block->second;
  blocks.erase(block);
  std::free(address);
  return true;
}

}  // namespace

bool graft::emulated::refuse(int64_t allocation, int64_t count) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  until_refusal = allocation;
  refusals = allocation > 0 ? count : 0;
  return std::exchange(was_refused, false);
}

const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
    default: return "unknown error";
  }
}

cudaError_t cudaGetDevice(int* device) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  state().calls++;
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

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 0;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** address, size_t bytes) {
  GRAFT_ENTER(false);
  return take(address, bytes);
}

// Frees whatever state the device is in, as the memory is the test's own; what is enqueued is done before.
cudaError_t cudaFree(void* address) {
  if (!address) return cudaSuccess;
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  const cudaError_t before = enter(false);
  if (before == cudaErrorStreamCaptureUnsupported) return before;
  drain_all();
  return give_back(address) ? before : cudaErrorInvalidValue;
}

cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned) {
  GRAFT_ENTER(false);
  if (posix_memalign(address, 4096, bytes ? bytes : 1) != 0) return cudaErrorMemoryAllocation;
  pinned[static_cast<const char*>(*address)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* address) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  const cudaError_t before = enter(false);
  if (before == cudaErrorStreamCaptureUnsupported) return before;
  drain_all();
  if (pinned.erase(static_cast<const char*>(address)) == 0) return cudaErrorInvalidValue;
  std::free(address);
  return before;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  GRAFT_ENTER(true);
  *free = kMemory - held;
  *total = kMemory;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  GRAFT_ENTER(true);
  if (bytes == 0) return cudaSuccess;
  if (kind != cudaMemcpyDeviceToHost && !within(blocks, to, bytes)) return cudaErrorInvalidValue;
  if (kind != cudaMemcpyHostToDevice && !within(blocks, from, bytes)) return cudaErrorInvalidValue;
  if (!usable(stream)) return cudaErrorInvalidResourceHandle;
  const void* host = kind == cudaMemcpyHostToDevice ? from : kind == cudaMemcpyDeviceToHost ? to : nullptr;
  const bool pageable = host && !within(pinned, host, bytes);
  if (pageable && stream && stream->capture) {
    state().capture_broken = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  if (pageable && kind == cudaMemcpyHostToDevice)
    push(stream, {[to, content = std::string(static_cast<const char*>(from), bytes)] { std::memcpy(to, content.data(), content.size()); }, {}});
  else
    push(stream, {[to, from, bytes] { std::memmove(to, from, bytes); }, {}});
  if (stream && pageable && kind == cudaMemcpyDeviceToHost) {
    drain(stream);
    return outcome();
  }
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* address, int value, size_t bytes, cudaStream_t stream) {
  GRAFT_ENTER(true);
  if (bytes == 0) return cudaSuccess;
  if (!usable(stream)) return cudaErrorInvalidResourceHandle;
  if (!within(blocks, address, bytes)) return cudaErrorInvalidValue;
  push(stream, {[address, value, bytes] { std::memset(address, value, bytes); }, {}});
  return cudaSuccess;
}

// A pool takes memory at once and gives it back in the stream's order.
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  *pool = nullptr;
  return properties->location.id == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolDestroy(cudaMemPool_t) { return cudaSuccess; }
cudaError_t cudaMallocFromPoolAsync(void** address, size_t bytes, cudaMemPool_t, cudaStream_t stream) {
  GRAFT_ENTER(true);
  if (!usable(stream)) return cudaErrorInvalidResourceHandle;
  push(stream, {});
  return take(address, bytes);
}
cudaError_t cudaFreeAsync(void* address, cudaStream_t stream) {
  std::lock_guard<std::recursive_mutex> lost_guard(graft::emulated::state().lock);
  if (graft::emulated::state().fault && within(blocks, address, 1)) graft::emulated::state().lost.push_back(address);
  GRAFT_ENTER(true);
  if (!usable(stream)) return cudaErrorInvalidResourceHandle;
  if (!within(blocks, address, 1)) return cudaErrorInvalidValue;
  push(stream, {[address] { give_back(address); }, {}});
  return cudaSuccess;
}

graft::cuda::Allocation graft::cuda::allocation_of(int64_t address) {
  std::lock_guard<std::recursive_mutex> guard(state().lock);
  const char* p = reinterpret_cast<const char*>(address);
  auto after = blocks.upper_bound(p);
  if (after == blocks.begin()) return {};
  auto block = std::prev(after);
  if (p >= block->first + block->second) return {};
  return {Allocation::Kind::Device, 0, reinterpret_cast<uint64_t>(block->first), block->second};
}
