// Counts what this program's own code allocates while counting is switched on. Libraries are left out: oneDNN makes a table of
// its arguments on every call. Under a sanitizer, which has its own allocator, nothing is counted. Include in one source file.
#pragma once
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <new>

extern "C" const char __executable_start, etext;  // of the linker: where the program's code lies

namespace graft::test {

inline std::atomic<bool> counting{false};
inline std::atomic<long> allocations{0};
inline void note_allocation(const void* caller) {
  if (counting.load(std::memory_order_relaxed) && caller >= &__executable_start && caller < &etext) allocations++;
}

}  // namespace graft::test

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

__attribute__((visibility("default"))) void* malloc(size_t n) noexcept {
  graft::test::note_allocation(__builtin_return_address(0));
  return __libc_malloc(n);
}
__attribute__((visibility("default"))) void* calloc(size_t n, size_t size) noexcept {
  graft::test::note_allocation(__builtin_return_address(0));
  return __libc_calloc(n, size);
}
__attribute__((visibility("default"))) void* realloc(void* p, size_t n) noexcept {
  graft::test::note_allocation(__builtin_return_address(0));
  return __libc_realloc(p, n);
}
__attribute__((visibility("default"))) void* aligned_alloc(size_t alignment, size_t n) noexcept {
  graft::test::note_allocation(__builtin_return_address(0));
  return __libc_memalign(alignment, n);
}
__attribute__((visibility("default"))) int posix_memalign(void** to, size_t alignment, size_t n) noexcept {
  graft::test::note_allocation(__builtin_return_address(0));
  *to = __libc_memalign(alignment, n);
  return *to ? 0 : ENOMEM;
}
}

__attribute__((visibility("default"), noinline)) void* operator new(size_t n) {
  graft::test::note_allocation(__builtin_return_address(0));
  if (void* p = __libc_malloc(n)) return p;
  throw std::bad_alloc();
}
__attribute__((visibility("default"), noinline)) void operator delete(void* p) noexcept { std::free(p); }
__attribute__((visibility("default"), noinline)) void operator delete(void* p, size_t) noexcept { std::free(p); }
#endif
