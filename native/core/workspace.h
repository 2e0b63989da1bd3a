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
  // At least this many bytes. Contents are lost and addresses change when it grows: `generation` tells. What it has is given back before
  // more is taken only where both do not fit; a growth that is refused even then leaves it with as much as before.
  void reserve(size_t bytes) {
    std::lock_guard<std::mutex> hold(mutex_);
    const size_t before = memory_.bytes();
    if (bytes <= before) return;
    try {
      memory_ = Buffer(*device_->column, bytes);
    } catch (const Error& e) {
      if (before == 0) throw;
      memory_ = Buffer();
      lost_ = true;
      generation_++;
      try {
        memory_ = Buffer(*device_->column, bytes);
      } catch (const Error&) {
        memory_ = Buffer(*device_->column, before);
        lost_ = false;
        throw;
      }
    }
    lost_ = false;
    generation_++;
  }
  void* at(size_t offset) const {
    require(!lost_, "the workspace lost its memory: more was asked of it than there was, and by then another took what it had");
    return memory_.at(offset);
  }
  uint64_t generation() const { return generation_; }
  size_t bytes() const { return memory_.bytes(); }
  Device& device() const { return *device_; }
  std::mutex& mutex() { return mutex_; }  // held while a plan runs in it

 private:
  std::shared_ptr<Device> device_;
  Buffer memory_;
  bool lost_ = false;
  uint64_t generation_ = 0;
  std::mutex mutex_;
};

}  // namespace graft
