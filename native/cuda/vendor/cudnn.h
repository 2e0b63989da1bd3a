// cuDNN as this process has it.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "kernels.h"
#include "vendor/cudnn_declarations.h"

namespace graft::cuda {

class CudnnPlan;

struct Cudnn {
  decltype(&cudnnGetErrorString) error_string;
  decltype(&cudnnCreate) create;
  decltype(&cudnnSetStream) set_stream;
  decltype(&cudnnBackendCreateDescriptor) create_descriptor;
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor;
  decltype(&cudnnBackendSetAttribute) set;
  decltype(&cudnnBackendGetAttribute) read;
  decltype(&cudnnBackendFinalize) finalize;
  decltype(&cudnnBackendExecute) execute;
  cudnnHandle_t handle = nullptr;  // of one device, for as long as the process lives
  mutable std::mutex mutex;        // who holds it may use the handle: its stream is a part of it
  mutable std::map<std::string, std::weak_ptr<CudnnPlan>> plans;  // that kernels hold, by what they compute; held by the mutex too
  std::string version, path;
};

// Opens the library and refuses versions other than 9: throws UNAVAILABLE with one line. The handle is the current device's.
std::unique_ptr<Cudnn> open_cudnn();

// The library with a handle for this device, opened once; null where there is none, and then `reason` says why.
const Cudnn* cudnn(const Device& device, std::string* reason = nullptr);

// conv2d by cuDNN, where the policy lets it in (matmul/choice.h); null where it does not or cuDNN does not take the request, and then a
// line on stderr says why. Throws UNAVAILABLE where cuDNN is demanded and there is none.
std::unique_ptr<Kernel> make_cudnn_conv2d(const Device& device, const Request& request);

}  // namespace graft::cuda
