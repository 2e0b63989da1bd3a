// Column memory for the length of a call. Buffers are kept for the next call: their number is that of calls at one time.
#pragma once
#include <mutex>
#include <vector>

#include "buffer.h"

namespace graft {

class ScratchPool {
 public:
  explicit ScratchPool(Column& column) : column_(column) {}

  // The smallest idle buffer of at least `bytes`, or a new one.
  Buffer take(size_t bytes) {
    {
      std::lock_guard<std::mutex> hold(mutex_);
      auto best = idle_.end();
      for (auto it = idle_.begin(); it != idle_.end(); ++it)
        if (it->bytes() >= bytes && (best == idle_.end() || it->bytes() < best->bytes())) best = it;
      if (best != idle_.end()) {
        Buffer found = std::move(*best);
        idle_.erase(best);
        return found;
      }
    }
    size_t whole = kLeast;
    while (whole < bytes) whole *= 2;
    return Buffer(column_, whole);
  }
  void give(Buffer buffer) {
    std::lock_guard<std::mutex> hold(mutex_);
    if (idle_.size() >= kMost) idle_.erase(idle_.begin());  // the one that has been idle for longest
    idle_.push_back(std::move(buffer));
  }

 private:
  static constexpr size_t kLeast = 4096, kMost = 16;
  Column& column_;
  std::mutex mutex_;
  std::vector<Buffer> idle_;
};

}  // namespace graft
