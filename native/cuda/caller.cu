#include "caller.h"

#include <cstring>

namespace graft::cuda {

constexpr size_t kMostFirst = 1024;

struct First {
  uint64_t words[kMostFirst / 8];
};

// A copy from the host would have to wait: memory that is not pinned goes through the driver's own. A kernel's parameters do not.
__global__ void __launch_bounds__(kMostFirst / 8) write_first(const __grid_constant__ First first, uint64_t* to, int count) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < count) to[i] = first.words[i];
}

void check_reach(const char* name, int64_t address, int64_t bytes, const Allocation& found, int device) {
  using Kind = Allocation::Kind;
  require(found.kind != Kind::Unknown, name, ": at address ", address, " is no memory of CUDA: it is the host's, or was freed; memory of GPU ", device,
          " is needed");
  require(found.kind != Kind::Host, name, ": at address ", address, " is pinned memory of the host; memory of GPU ", device, " is needed");
  require(found.kind == Kind::Managed || found.device == device, name, ": at address ", address, " is memory of GPU ", found.device,
          "; memory of GPU ", device, " is needed");
  if (found.bytes == 0) return;
  const uint64_t before = static_cast<uint64_t>(address) - found.begin;
  require(before <= found.bytes && static_cast<uint64_t>(bytes) <= found.bytes - before, name, ": ", bytes, " bytes from address ", address,
          " on go beyond their allocation, which ends at ", found.begin + found.bytes);
}

CallerStreams::CallerStreams(const Device& device) : device_(device) {
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = device.number;
  check(cudaMemPoolCreate(&pool_, &properties), "creating a memory pool");
  uint64_t kept = UINT64_MAX;  // what was given back stays for the next call
  const cudaError_t status = cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &kept);
  if (status != cudaSuccess) cudaMemPoolDestroy(pool_);
  check(status, "setting up a memory pool");
}

CallerStreams::~CallerStreams() { cudaMemPoolDestroy(pool_); }  // what streams still use is freed behind it

cudaStream_t CallerStreams::checked(int64_t stream) const {
  const auto handle = reinterpret_cast<cudaStream_t>(stream);
  if (stream >= 0 && stream <= 2) return handle;  // the default streams, which are those of the current device
  int device = -1;
  const cudaError_t status = cudaStreamGetDevice(handle, &device);
  if (poisons(status)) check(status, "asking about a stream");
  if (status != cudaSuccess) cudaGetLastError();
  require(status == cudaSuccess, "stream: ", stream, " is no stream of CUDA, or was destroyed: ", cudaGetErrorString(status));
  require(device == device_.number, "stream: ", stream, " is a stream of GPU ", device, "; one of GPU ", device_.number, " is needed");
  return handle;
}

void CallerStreams::enqueue(int64_t stream, const void* first, size_t count, size_t bytes, const std::function<void(void*)>& body) {
  ensure(count <= kMostFirst && count % 8 == 0, "a call with ", count, " bytes of numbers");
  const Current current(device_.number);
  const cudaStream_t handle = checked(stream);
  void* memory = nullptr;
  const cudaError_t status = cudaMallocFromPoolAsync(&memory, bytes, pool_, handle);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Error(GRAFT_OUT_OF_MEMORY, text("GPU ", device_.number, " refused ", bytes, " bytes, which a call needs beside its operands"));
  }
  check(status, "taking memory in the stream's order");
  try {
    First numbers{};
    std::memcpy(numbers.words, first, count);
    launch(write_first, {1, static_cast<int>(kMostFirst / 8), 0, handle}, numbers, static_cast<uint64_t*>(memory), static_cast<int>(count / 8));
    const OnStream scope(device_.stream, handle);
    body(memory);
  } catch (...) {
    cudaFreeAsync(memory, handle);
    throw;
  }
  check(cudaFreeAsync(memory, handle), "giving memory back in the stream's order");
}

}  // namespace graft::cuda
