#pragma once
#include "column.h"

namespace graft {

// Cuts scratch memory into aligned pieces.
class Cut {
 public:
  explicit Cut(void* scratch) : at_(static_cast<char*>(scratch)) {}
  template <class T>
  T* take(int64_t count) {
    char* p = at_;
    at_ += aligned(sizeof(T) * static_cast<size_t>(count));
    return reinterpret_cast<T*>(p);
  }
  void* rest() const { return at_; }

 private:
  char* at_;
};

}  // namespace graft
