// Stacks that a thread of the host switches between, one for each emulated thread of a device. System V ABI, x86-64.
#pragma once
#include <cstddef>

#if !defined(__x86_64__)
#error "the emulation of kernels switches stacks on x86-64 alone"
#endif

namespace graft::emulated {

// Where a stack was left. AddressSanitizer is told of every switch: it has to know the stack that an exception unwinds.
class Stack {
 public:
  Stack() = default;  // the host thread's own
  // A new one in memory of the caller. Going on there calls `begin`, which calls left() first and ends with end_for().
  Stack(char* memory, size_t bytes, void (*begin)());

  // Called on this stack: goes on with the other, and returns when somebody goes on with this one.
  void leave_for(Stack& other);
  // The same for good.
  [[noreturn]] void end_for(Stack& other);
  // Called on a new stack, of the one that was left for it.
  void left();

  // Stacks in this memory were left in the middle of calls, for good: their frames are no longer marked.
  static void forget(char* memory, size_t bytes);

 private:
  void* pointer_ = nullptr;
  const void* memory_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace graft::emulated
