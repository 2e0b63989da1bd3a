// Prepared kernels by what they were prepared for; the least recently used goes first.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "column.h"

namespace graft {

class KernelCache {
 public:
  using Key = std::vector<int64_t>;

  // The kernel of `key`, made where there is none. Callers with the same key at the same moment may both make it; one is kept.
  template <class Make>
  std::shared_ptr<const Kernel> get(const Key& key, const Make& make) {
    if (auto found = find(key)) return found;
    std::shared_ptr<const Kernel> made = make();
    std::lock_guard<std::mutex> hold(mutex_);
    if (auto it = places_.find(key); it != places_.end()) return it->second->second;
    recent_.emplace_front(key, made);
    places_[key] = recent_.begin();
    if (recent_.size() > kMost) {
      places_.erase(recent_.back().first);
      recent_.pop_back();
    }
    return made;
  }

 private:
  static constexpr size_t kMost = 128;
  using Recent = std::list<std::pair<Key, std::shared_ptr<const Kernel>>>;

  std::shared_ptr<const Kernel> find(const Key& key) {
    std::lock_guard<std::mutex> hold(mutex_);
    auto it = places_.find(key);
    if (it == places_.end()) return nullptr;
    recent_.splice(recent_.begin(), recent_, it->second);
    return it->second->second;
  }

  std::mutex mutex_;
  Recent recent_;
  std::map<Key, Recent::iterator> places_;
};

}  // namespace graft
