// Graphs of operations as cuDNN takes them, and the plans that it makes of them. Tensors are four-dimensional and lie channels last: of
// dimensions {n, c, h, w}, element (n, c, h, w) is at ((n H + h) W + w) C + c. Arithmetic is F32.
#pragma once
#include <array>
#include <vector>

#include "vendor/cudnn.h"

namespace graft::cuda {

// One way of cuDNN's to compute a graph. Any number of threads may run it at once.
class CudnnPlan {
 public:
  static constexpr size_t kAlignment = 256;  // of the workspace, bytes
  // Owns the plan and the descriptors that it was made of.
  CudnnPlan(const Cudnn& dnn, cudnnBackendDescriptor_t plan, size_t workspace, std::vector<cudnnBackendDescriptor_t> parts)
      : dnn_(dnn), plan_(plan), workspace_(workspace), parts_(std::move(parts)) {}
  ~CudnnPlan();
  CudnnPlan(const CudnnPlan&) = delete;
  CudnnPlan& operator=(const CudnnPlan&) = delete;

  // Bytes of scratch memory, with what aligning takes.
  size_t scratch_bytes() const { return workspace_ ? workspace_ + kAlignment : 0; }
  int way = 0;  // how many that would do as well the heuristics name before it
  // Enqueues it; tensor i of the graph lies at addresses[i].
  void run(const Device& device, const std::vector<void*>& addresses, void* scratch) const;

 private:
  const Cudnn& dnn_;
  cudnnBackendDescriptor_t plan_;
  size_t workspace_;
  std::vector<cudnnBackendDescriptor_t> parts_;
};

class CudnnGraph {
 public:
  using Dimensions = std::array<int64_t, 4>;
  using Tensor = cudnnBackendDescriptor_t;
  static constexpr int64_t kAlignment = 16;  // of every tensor, bytes

  explicit CudnnGraph(const Cudnn& dnn) : dnn_(dnn) {}
  ~CudnnGraph();
  CudnnGraph(const CudnnGraph&) = delete;
  CudnnGraph& operator=(const CudnnGraph&) = delete;

  // Along h and w.
  struct Window {
    std::array<int64_t, 2> strides, dilations, before, after;
  };

  // The next tensor in memory, numbered from 0 in the order of the calls.
  Tensor tensor(DType type, const Dimensions& dimensions);
  // What one operation hands to another, F32, in no memory.
  Tensor between(const Dimensions& dimensions);

  // y = conv(x, w), and its gradients dx and dw, each plus `keep` times what is there. Groups follow from the channels of x and w.
  void forward(const Window& window, Tensor x, Tensor w, Tensor y);
  void data_gradient(const Window& window, Tensor dy, Tensor w, Tensor dx, float keep);
  void filter_gradient(const Window& window, Tensor x, Tensor dy, Tensor dw, float keep);
  // y = x + b, where a dimension of 1 in b is spread.
  void add(Tensor x, Tensor b, Tensor y);
  void relu(Tensor x, Tensor y);

  // What the graph's tensors in memory are, in the order of their numbers.
  struct Operand {
    DType type;
    int64_t count;
  };
  const std::vector<Operand>& operands() const { return operands_; }
  // Equal text = equal graph.
  const std::string& key() const { return key_; }

  // The first way that cuDNN's heuristics name which is repeatable bit by bit, sums in F32, rounds F32 factors only where `tf32` permits it,
  // and takes no more than `most` bytes of workspace; or, with `way`, the one after so many of these. Equal graphs have one plan a way. Null where
  // there is none; `reason` says what the last one failed at. To be called once.
  std::shared_ptr<CudnnPlan> plan(bool tf32, size_t most, int way = 0);
  const std::string& reason() const { return reason_; }

 private:
  cudnnBackendDescriptor_t make(cudnnBackendDescriptorType_t type);
  bool set(cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values);
  bool finalize(cudnnBackendDescriptor_t descriptor);
  bool good(cudnnStatus_t status, const char* doing);
  Tensor tensor(int64_t number, DType type, const Dimensions& dimensions, bool within);
  cudnnBackendDescriptor_t convolution(const Window& window);
  void operation(cudnnBackendDescriptorType_t type, const std::vector<std::pair<cudnnBackendAttributeName_t, cudnnBackendDescriptor_t>>& parts,
                 const std::vector<std::pair<cudnnBackendAttributeName_t, float>>& factors);
  void pointwise(cudnnPointwiseMode_t mode, Tensor x, Tensor b, Tensor y);
  std::shared_ptr<CudnnPlan> find_plan(bool tf32, size_t most, int way);
  // Takes one off `before` and gives nothing where the plan is good and `before` is not 0.
  std::shared_ptr<CudnnPlan> plan_of(cudnnBackendDescriptor_t configuration, bool tf32, size_t most, int& before);
  bool repeatable(cudnnBackendDescriptor_t configuration, bool tf32);

  const Cudnn& dnn_;
  bool broken_ = false;  // a description was refused; nothing can come of it
  bool f32_ = false;     // factors are F32
  int64_t between_ = 0;
  std::vector<Operand> operands_;
  std::vector<cudnnBackendDescriptor_t> made_, operations_;
  std::string key_;  // all attributes in the order of the calls
  std::string reason_;
};

}  // namespace graft::cuda
