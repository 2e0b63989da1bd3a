// What the NVIDIA driver says of itself and its GPUs. It is opened at run time and asked through its own interface, before any
// call of the CUDA runtime, because the runtime's answers do not tell an absent driver from an old one.
#pragma once
#include <cuda.h>

#include <string>
#include <vector>

namespace graft::cuda {

inline constexpr int kLeastCapability = 80;                 // 10 * major + minor
inline constexpr size_t kLeastFree = size_t{256} << 20;     // bytes: a context's own, modules, the smallest plans

struct Gpu {
  std::string name;
  int capability = 0;  // 10 * major + minor
  size_t bytes = 0;    // of memory, taken or free
  std::string label(int index) const;  // "GPU 0 (NVIDIA H200)"
};

struct Driver {
  std::string problem;  // one line; empty: it works and has at least one GPU
  int version = 0;      // of CUDA, 1000 * major + 10 * minor; 0 where it is not known
  std::vector<Gpu> gpus;
};

// "13.0" of 13000.
std::string version_text(int version);

// The driver as it is now. `needed` is the version of CUDA that this library was built with: its major version must be there.
Driver probe(int needed);

// Why `device` cannot be used; empty if it can be, as far as is known without a context on it.
std::string refusal(const Driver& driver, int device);

// Holds a device's primary context, which the CUDA runtime shares once it is used: while this lives the driver does not make it twice.
// Throws Error: OUT_OF_MEMORY where the device has no room for it and the smallest plans, UNAVAILABLE where it cannot be opened.
class Context {
 public:
  Context(const Driver& driver, int device);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

 private:
  CUdevice handle_ = 0;
  CUresult (*release_)(CUdevice) = nullptr;
};

}  // namespace graft::cuda
