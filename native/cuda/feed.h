// Feeds of this column: a ring of pinned memory, a stream for copies alone, and memory of the device that they go to. The copies' stream
// and the column's meet by events: what is taken waits until what was taken before has been delivered, a delivery until all of it is there.
#pragma once
#include <array>

#include "kernels.h"

namespace graft::cuda {

class DeviceFeed : public Feed {
 public:
  // Memory comes from the column and goes back to it.
  DeviceFeed(Column& column, const Device& device, cudaStream_t copies, size_t bytes);
  ~DeviceFeed() override;
  DeviceFeed(const DeviceFeed&) = delete;
  DeviceFeed& operator=(const DeviceFeed&) = delete;
  void take(const void* host) override;
  void deliver(void* address) override;

 private:
  struct Slot {  // of the ring
    char* pinned = nullptr;
    cudaEvent_t copied = nullptr;
  };
  void close();
  Column& column_;
  const Device& device_;
  cudaStream_t copies_;
  size_t bytes_, part_;  // of a slot
  char* staging_ = nullptr;
  std::array<Slot, 4> ring_;
  size_t next_ = 0;
  cudaEvent_t whole_ = nullptr, delivered_ = nullptr;
};

}  // namespace graft::cuda
