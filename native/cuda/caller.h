// Memory and streams of callers.
#pragma once
#include "driver.h"
#include "kernels.h"

namespace graft::cuda {

// The caller's fault unless `bytes` from `address` on are part of `found`, and the device's kernels may touch it. Managed memory may
// lie anywhere.
void check_reach(const char* name, int64_t address, int64_t bytes, const Allocation& found, int device);

// Runs work of callers on their streams, each time with memory that is taken and given back in the stream's order.
class CallerStreams {
 public:
  explicit CallerStreams(const Device& device);
  ~CallerStreams();
  CallerStreams(const CallerStreams&) = delete;
  CallerStreams& operator=(const CallerStreams&) = delete;

  // As Column::enqueue.
  void enqueue(int64_t stream, const void* first, size_t count, size_t bytes, const std::function<void(void*)>& body);

 private:
  cudaStream_t checked(int64_t stream) const;

  const Device& device_;
  cudaMemPool_t pool_ = nullptr;
};

}  // namespace graft::cuda
