// What the stub of libcuda.so.1 answers, set by a test before it asks.
#pragma once
#include <cuda.h>

namespace graft::test {

struct StubDriver {
  int version = 13000;
  CUresult init = CUDA_SUCCESS;
  int count = 1;
  const char* name = "Stub GPU";
  int major = 9, minor = 0;
  size_t bytes = size_t{1} << 30, free = size_t{1} << 29;
  CUresult retain = CUDA_SUCCESS, memory = CUDA_SUCCESS;
  int held = 0;  // contexts that were taken and not given back
};

inline constexpr char kStubState[] = "graft_stub_driver";  // the function that gives the one StubDriver

}  // namespace graft::test
