// The door between libgraft.so and libgraft_cuda.so, which are built together and share C++ types: the one function that the
// latter exports. libgraft.so opens it at run time, so that it runs where there is no driver.
#pragma once
#include <memory>

#include "core/column.h"

namespace graft {

// What is asked of the library, and what it answers.
struct CudaCall {
  enum class Ask {
    Describe,  // text: JSON of driver and GPUs; never fails for want of them
    Check,     // whether `device` could be opened, as far as that is known without taking memory on it
    Open,      // column: of `device`
  };
  Ask ask = Ask::Describe;
  int device = 0;    // as CUDA counts them
  std::string text;  // JSON, or one line that says why the status is not GRAFT_OK
  std::unique_ptr<Column> column;
};

// Returns a graft_status and throws nothing. `build` is the caller's GRAFT_BUILD; to another one than its own the library answers
// kOtherBuild and leaves the call alone, whose type need not be the one that it knows.
using CudaEntry = int32_t(const char* build, CudaCall* call);
inline constexpr int32_t kOtherBuild = -1;
inline constexpr char kCudaEntry[] = "graft_cuda_column";
inline constexpr char kCudaLibrary[] = "libgraft_cuda.so";

}  // namespace graft
