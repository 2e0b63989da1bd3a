// What the driver tells of an address.
#pragma once
#include <cstdint>

namespace graft::cuda {

struct Allocation {
  enum class Kind { Unknown, Host, Device, Managed };  // Unknown: not of CUDA, or freed. Host: pinned
  Kind kind = Kind::Unknown;
  int device = -1;                   // where it lies, as CUDA counts devices
  uint64_t begin = 0, bytes = 0;     // of the whole allocation; bytes 0 where they are not told
};

// Asks in the current device's context. Throws where the driver fails, not where it does not know the address.
Allocation allocation_of(int64_t address);

}  // namespace graft::cuda
