// Memory that plans run in. Plans that never run together share one, of the largest size; concurrent callers have their own.
#pragma once
#include <memory>
#include <mutex>

#include "buffer.h"
#include "device.h"

namespace graft {

class Workspace {
 public:
  explicit Workspace(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  // At least this many bytes. Contents are lost and addresses change when it grows: `generation` tells.
  void reserve(size_t bytes) {
    std::lock_guard<std::mutex> hold(mutex_);
    if (bytes <= memory_.bytes()) return;
    memory_ = Buffer();  // first give back, then take
    memory_ = Buffer(*device_->column, bytes);
    generation_++;
  }
  void* at(size_t offset) const { return memory_.at(offset); }
  uint64_t generation() const { return generation_; }
  size_t bytes() const { return memory_.bytes(); }
  Device& device() const { return *device_; }
  std::mutex& mutex() { return mutex_; }  // held while a plan runs in it

 private:
  std::shared_ptr<Device> device_;
  Buffer memory_;
  uint64_t generation_ = 0;
  std::mutex mutex_;
};

}  // namespace graft
