// What the stub of cuDNN answers, set by a test, and what it saw.
#pragma once
#include <cstddef>
#include <functional>

namespace graft::test {

struct StubCudnn {
  size_t version = 91901;
  bool starts = true;         // cudnnCreate succeeds
  bool has_engine = true;
  bool fuses = true;          // takes graphs of several operations
  bool adds = true;           // takes a factor for what is there before
  bool widens = true;         // stores F32 of bf16 factors
  int alive = 0;              // descriptors that were created and not destroyed
  bool slow_first = false;    // the first engine that may be taken loses a millisecond
  int runs = 0, operations = 0;  // executions, and operations in them
  // Brings work onto a stream (a cudaStream_t); without it work is done at once.
  void (*enqueue)(void* stream, std::function<void()> work) = nullptr;
};

inline constexpr char kStubCudnn[] = "graft_stub_cudnn";  // the function that gives the one StubCudnn

}  // namespace graft::test
