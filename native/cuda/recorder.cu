#include "recorder.h"

namespace graft::cuda {
namespace {

class Graph : public Recording {
 public:
  Graph(const Device& device, cudaGraph_t graph) : device_(device) { check(cudaGraphInstantiate(&executable_, graph, 0), "preparing a graph"); }
  ~Graph() override { cudaGraphExecDestroy(executable_); }
  void replay() const override {
    Current current(device_.number);
    check(cudaGraphLaunch(executable_, device_.stream), "launching a graph");
  }

 private:
  const Device& device_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace

Recorder::Recorder(const Device& device) : device_(device) {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
}
Recorder::~Recorder() { cudaStreamDestroy(stream_); }

std::unique_ptr<Recording> Recorder::record(const std::function<void()>& body) {
  std::lock_guard<std::mutex> one(mutex_);
  // Only what this thread does must be fit for a graph; others may allocate and wait meanwhile.
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "beginning a graph");
  cudaGraph_t graph = nullptr;
  try {
    OnStream recorded(device_.stream, stream_);
    body();
  } catch (...) {
    if (cudaStreamEndCapture(stream_, &graph) == cudaSuccess && graph) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(stream_, &graph), "ending a graph");
  std::unique_ptr<Recording> made;
  try {
    made = std::make_unique<Graph>(device_, graph);
  } catch (...) {
    cudaGraphDestroy(graph);
    throw;
  }
  cudaGraphDestroy(graph);
  return made;
}

}  // namespace graft::cuda
