#include "emulated/stacks.h"

#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the callee's registers on the stack that runs, its stack pointer in *save, and goes on where `to` was saved. System V ABI:
// rbx, rbp and r12 to r15 survive a call.
extern "C" void graft_switch_stack(void** save, void* to);
asm(R"(
.text
.type graft_switch_stack, @function
graft_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size graft_switch_stack, .-graft_switch_stack
)");

namespace graft::emulated {
namespace {

#if defined(__SANITIZE_ADDRESS__)
void switching_to(const void* memory, size_t bytes, void** kept) { __sanitizer_start_switch_fiber(kept, memory, bytes); }
void switched(void* kept, const void** memory, size_t* bytes) { __sanitizer_finish_switch_fiber(kept, memory, bytes); }
#else
void switching_to(const void*, size_t, void**) {}
void switched(void*, const void**, size_t*) {}
#endif

}  // namespace

Stack::Stack(char* memory, size_t bytes, void (*begin)()) : memory_(memory), bytes_(bytes) {
  // As graft_switch_stack leaves a stack: six registers, then where to go on; a return address that nobody uses keeps it aligned.
  void** top = reinterpret_cast<void**>(memory + bytes - 64);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(begin);
  for (int k = 0; k < 6; k++) *--top = nullptr;
  pointer_ = top;
}

void Stack::leave_for(Stack& other) {
  void* kept = nullptr;
  switching_to(other.memory_, other.bytes_, &kept);
  graft_switch_stack(&pointer_, other.pointer_);
  switched(kept, &other.memory_, &other.bytes_);
}

void Stack::end_for(Stack& other) {
  switching_to(other.memory_, other.bytes_, nullptr);
  graft_switch_stack(&pointer_, other.pointer_);
  std::abort();  // nobody goes on with it
}

void Stack::left() { switched(nullptr, &memory_, &bytes_); }

void Stack::forget(char* memory, size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(memory, bytes);
#else
  (void)memory, (void)bytes;
#endif
}

}  // namespace graft::emulated
