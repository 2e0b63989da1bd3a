#include "feed.h"

#include <algorithm>
#include <cstring>

namespace graft::cuda {

constexpr size_t kPart = size_t{4} << 20;  // bytes that the host copies while the device fetches those before

DeviceFeed::DeviceFeed(Column& column, const Device& device, cudaStream_t copies, size_t bytes)
    : column_(column), device_(device), copies_(copies), bytes_(bytes), part_(std::min(bytes, kPart)) {
  Current current(device_.number);
  try {
    staging_ = static_cast<char*>(column_.allocate(bytes_));
    for (Slot& slot : ring_) {
      slot.pinned = static_cast<char*>(column_.allocate_host(part_));
      check(cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming), "creating an event");
    }
    check(cudaEventCreateWithFlags(&whole_, cudaEventDisableTiming), "creating an event");
    check(cudaEventCreateWithFlags(&delivered_, cudaEventDisableTiming), "creating an event");
  } catch (...) {
    close();
    throw;
  }
}

DeviceFeed::~DeviceFeed() { close(); }

void DeviceFeed::close() {
  cudaStreamSynchronize(copies_);
  cudaStreamSynchronize(device_.stream.own);
  for (Slot& slot : ring_) {
    if (slot.copied) cudaEventDestroy(slot.copied);
    if (slot.pinned) column_.release_host(slot.pinned, part_);
  }
  if (whole_) cudaEventDestroy(whole_);
  if (delivered_) cudaEventDestroy(delivered_);
  column_.release(staging_, bytes_);
}

void DeviceFeed::take(const void* host) {
  Current current(device_.number);
  check(cudaStreamWaitEvent(copies_, delivered_, 0), "waiting for an event");
  for (size_t at = 0; at < bytes_; at += part_) {
    const size_t count = std::min(part_, bytes_ - at);
    Slot& slot = ring_[next_++ % ring_.size()];
    check(cudaEventSynchronize(slot.copied), "waiting for a copy");
    std::memcpy(slot.pinned, static_cast<const char*>(host) + at, count);
    check(cudaMemcpyAsync(staging_ + at, slot.pinned, count, cudaMemcpyHostToDevice, copies_), "copying an input");
    check(cudaEventRecord(slot.copied, copies_), "recording an event");
  }
  check(cudaEventRecord(whole_, copies_), "recording an event");
}

void DeviceFeed::deliver(void* address) {
  Current current(device_.number);
  check(cudaStreamWaitEvent(device_.stream, whole_, 0), "waiting for an event");
  check(cudaMemcpyAsync(address, staging_, bytes_, cudaMemcpyDeviceToDevice, device_.stream), "copying an input");
  check(cudaEventRecord(delivered_, device_.stream), "recording an event");
}

}  // namespace graft::cuda
