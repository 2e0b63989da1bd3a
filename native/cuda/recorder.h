// Recordings of this column: CUDA graphs, captured from a stream that nothing else uses.
#pragma once
#include <functional>
#include <memory>
#include <mutex>

#include "kernels.h"

namespace graft::cuda {

class Recorder {
 public:
  explicit Recorder(const Device& device);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // What `body` enqueues on the device's stream, on this thread, without its being done. The device is current.
  std::unique_ptr<Recording> record(const std::function<void()>& body);

 private:
  const Device& device_;
  std::mutex mutex_;
  cudaStream_t stream_ = nullptr;
};

}  // namespace graft::cuda
