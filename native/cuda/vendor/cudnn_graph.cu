#include "vendor/cudnn_graph.h"

#include <algorithm>
#include <utility>

namespace graft::cuda {
namespace {

constexpr int64_t kFirstBetween = 1000;  // numbers of tensors in no memory

// A descriptor of a run.
class Descriptor {
 public:
  Descriptor(const Cudnn& dnn, cudnnBackendDescriptorType_t type) : dnn_(dnn) { check(dnn.create_descriptor(type, &it_), "describing a run"); }
  ~Descriptor() {
    if (it_) dnn_.destroy_descriptor(it_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values) {
    check(dnn_.set(it_, name, type, count, values), "describing a run");
  }
  void finalize() { check(dnn_.finalize(it_), "describing a run"); }
  void check(cudnnStatus_t status, const char* doing) const {
    if (status != CUDNN_STATUS_SUCCESS) throw Error(GRAFT_INTERNAL, text("cuDNN ", dnn_.version, ", ", doing, ": ", dnn_.error_string(status)));
  }
  cudnnBackendDescriptor_t it() const { return it_; }

 private:
  const Cudnn& dnn_;
  cudnnBackendDescriptor_t it_ = nullptr;
};

cudnnDataType_t data_type(DType type) { return type == DType::BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT; }

}  // namespace

void CudnnPlan::run(const Device& device, const std::vector<void*>& addresses, void* scratch) const {
  std::vector<int64_t> numbers;
  for (void* address : addresses) {
    ensure(reinterpret_cast<uintptr_t>(address) % CudnnGraph::kAlignment == 0, "an operand of a convolution is not aligned to ", CudnnGraph::kAlignment, " bytes");
    numbers.push_back(static_cast<int64_t>(numbers.size()));
  }
  const int64_t count = static_cast<int64_t>(numbers.size());
  void* workspace = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(scratch) + kAlignment - 1) / kAlignment * kAlignment);
  if (workspace_ == 0) workspace = nullptr;
  Descriptor pack(dnn_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, numbers.data());
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, addresses.data());
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  pack.finalize();
  std::lock_guard<std::mutex> hold(dnn_.mutex);
  pack.check(dnn_.set_stream(dnn_.handle, device.stream), "choosing a stream");
  pack.check(dnn_.execute(dnn_.handle, plan_, pack.it()), "convolving");
}

CudnnPlan::~CudnnPlan() {
  dnn_.destroy_descriptor(plan_);
  for (auto it = parts_.rbegin(); it != parts_.rend(); ++it) dnn_.destroy_descriptor(*it);
}

CudnnGraph::~CudnnGraph() {
  for (auto it = made_.rbegin(); it != made_.rend(); ++it) dnn_.destroy_descriptor(*it);
}

bool CudnnGraph::good(cudnnStatus_t status, const char* doing) {
  if (status == CUDNN_STATUS_SUCCESS) return true;
  reason_ = text(doing, ": ", dnn_.error_string(status));
  return false;
}

cudnnBackendDescriptor_t CudnnGraph::make(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t made = nullptr;
  if (broken_ || !good(dnn_.create_descriptor(type, &made), "describing")) {
    broken_ = true;
    return nullptr;
  }
  made_.push_back(made);
  key_ += text("d", static_cast<int>(type));
  return made;
}

bool CudnnGraph::set(cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  key_ += text(" ", static_cast<int>(name));
  for (int64_t i = 0; i < count; i++)
    switch (type) {
      case CUDNN_TYPE_BACKEND_DESCRIPTOR: key_ += text(":", std::find(made_.begin(), made_.end(), static_cast<const cudnnBackendDescriptor_t*>(values)[i]) - made_.begin()); break;
      case CUDNN_TYPE_INT64: key_ += text(":", static_cast<const int64_t*>(values)[i]); break;
      case CUDNN_TYPE_FLOAT: key_ += text(":", static_cast<const float*>(values)[i]); break;
      case CUDNN_TYPE_HANDLE:
      case CUDNN_TYPE_BOOLEAN: break;  // the library's own; true wherever it is set
      default: key_ += text(":", static_cast<const int32_t*>(values)[i]);  // enumerations
    }
  if (!broken_ && !good(dnn_.set(of, name, type, count, values), "describing")) broken_ = true;
  return !broken_;
}

bool CudnnGraph::finalize(cudnnBackendDescriptor_t descriptor) {
  if (!broken_ && !good(dnn_.finalize(descriptor), "describing")) broken_ = true;
  return !broken_;
}

CudnnGraph::Tensor CudnnGraph::tensor(int64_t number, DType type, const Dimensions& d, bool within) {
  const Dimensions strides = {d[1] * d[2] * d[3], 1, d[3] * d[1], d[1]};
  const cudnnDataType_t stored = data_type(type);
  const int64_t alignment = kAlignment;
  Tensor made = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  set(made, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &stored);
  set(made, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, d.data());
  set(made, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides.data());
  set(made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &number);
  set(made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  if (within) set(made, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &within);
  finalize(made);
  return made;
}
CudnnGraph::Tensor CudnnGraph::tensor(DType type, const Dimensions& dimensions) {
  if (operands_.empty()) f32_ = type == DType::F32;
  operands_.push_back({type, dimensions[0] * dimensions[1] * dimensions[2] * dimensions[3]});
  return tensor(static_cast<int64_t>(operands_.size()) - 1, type, dimensions, false);
}
CudnnGraph::Tensor CudnnGraph::between(const Dimensions& dimensions) { return tensor(kFirstBetween + between_++, DType::F32, dimensions, true); }

cudnnBackendDescriptor_t CudnnGraph::convolution(const Window& w) {
  const cudnnDataType_t computes = CUDNN_DATA_FLOAT;
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const int64_t axes = 2;
  cudnnBackendDescriptor_t made = make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  set(made, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &computes);
  set(made, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  set(made, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes);
  set(made, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, axes, w.dilations.data());
  set(made, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, axes, w.strides.data());
  set(made, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, axes, w.before.data());
  set(made, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, axes, w.after.data());
  finalize(made);
  return made;
}

void CudnnGraph::operation(cudnnBackendDescriptorType_t type, const std::vector<std::pair<cudnnBackendAttributeName_t, cudnnBackendDescriptor_t>>& parts,
                           const std::vector<std::pair<cudnnBackendAttributeName_t, float>>& factors) {
  cudnnBackendDescriptor_t made = make(type);
  for (const auto& [name, part] : parts) set(made, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part);
  for (const auto& [name, factor] : factors) set(made, name, CUDNN_TYPE_FLOAT, 1, &factor);
  finalize(made);
  operations_.push_back(made);
}

void CudnnGraph::forward(const Window& window, Tensor x, Tensor w, Tensor y) {
  operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            {{CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, convolution(window)},
             {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x},
             {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w},
             {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y}},
            {{CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1.f}, {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0.f}});
}
void CudnnGraph::data_gradient(const Window& window, Tensor dy, Tensor w, Tensor dx, float keep) {
  operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            {{CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, convolution(window)},
             {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, dy},
             {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, w},
             {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, dx}},
            {{CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1.f}, {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, keep}});
}
void CudnnGraph::filter_gradient(const Window& window, Tensor x, Tensor dy, Tensor dw, float keep) {
  operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            {{CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, convolution(window)},
             {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, x},
             {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, dy},
             {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, dw}},
            {{CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 1.f}, {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, keep}});
}

void CudnnGraph::pointwise(cudnnPointwiseMode_t mode, Tensor x, Tensor b, Tensor y) {
  const cudnnDataType_t computes = CUDNN_DATA_FLOAT;
  cudnnBackendDescriptor_t function = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  set(function, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  set(function, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &computes);
  const cudnnNanPropagation_t nan = CUDNN_PROPAGATE_NAN;  // as own kernels: a NaN stays one
  if (mode == CUDNN_POINTWISE_RELU_FWD) set(function, CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, &nan);
  finalize(function);
  std::vector<std::pair<cudnnBackendAttributeName_t, cudnnBackendDescriptor_t>> parts = {
      {CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function}, {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x}, {CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y}};
  if (b) parts.push_back({CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b});
  operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, parts, {});
}
void CudnnGraph::add(Tensor x, Tensor b, Tensor y) { pointwise(CUDNN_POINTWISE_ADD, x, b, y); }
void CudnnGraph::relu(Tensor x, Tensor y) { pointwise(CUDNN_POINTWISE_RELU_FWD, x, nullptr, y); }

bool CudnnGraph::repeatable(cudnnBackendDescriptor_t configuration, bool tf32) {
  constexpr int64_t kMostNotes = 32;
  cudnnBackendDescriptor_t engine = make(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendNumericalNote_t notes[kMostNotes];
  int64_t count = 0;
  if (broken_ || !good(dnn_.read(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine), "asking for an engine") ||
      !good(dnn_.read(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, kMostNotes, &count, notes), "asking for an engine's notes"))
    return false;
  for (int64_t i = 0; i < std::min(count, kMostNotes); i++) {
    bool refused = notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC || notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
                   notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS || notes[i] == CUDNN_NUMERICAL_NOTE_FFT || notes[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD;
    if (f32_ && !tf32) refused = refused || notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    if (!refused) continue;
    reason_ = "no engine is repeatable and exact";
    return false;
  }
  return true;
}

std::shared_ptr<CudnnPlan> CudnnGraph::plan_of(cudnnBackendDescriptor_t configuration, bool tf32, size_t most, int& before) {
  if (!repeatable(configuration, tf32)) return nullptr;
  cudnnBackendDescriptor_t plan = nullptr;
  if (!good(dnn_.create_descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan), "describing a plan")) return nullptr;
  int64_t count = 0, workspace = 0;
  const bool made = good(dnn_.set(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &dnn_.handle), "describing a plan") &&
                    good(dnn_.set(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &configuration), "describing a plan") &&
                    good(dnn_.finalize(plan), "making a plan") &&
                    good(dnn_.read(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &workspace), "asking for a plan's workspace");
  const bool good_enough = made && workspace >= 0 && static_cast<size_t>(workspace) <= most;
  if (good_enough && before == 0)
    return std::make_shared<CudnnPlan>(dnn_, plan, static_cast<size_t>(workspace), std::exchange(made_, {}));
  if (good_enough) before--;
  else if (made) reason_ = text("a plan needs ", workspace, " bytes of workspace");
  dnn_.destroy_descriptor(plan);
  return nullptr;
}

std::shared_ptr<CudnnPlan> CudnnGraph::plan(bool tf32, size_t most, int way) {
  std::lock_guard<std::mutex> hold(dnn_.mutex);
  const std::string key = text(key_, tf32 ? " tf32 " : " ", most, " way ", way);
  if (auto known = dnn_.plans[key].lock()) return known;
  auto made = find_plan(tf32, most, way);
  if (made) made->way = way, dnn_.plans[key] = made;
  else dnn_.plans.erase(key);
  return made;
}

std::shared_ptr<CudnnPlan> CudnnGraph::find_plan(bool tf32, size_t most, int way) {
  cudnnBackendDescriptor_t graph = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  set(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &dnn_.handle);
  set(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(operations_.size()), operations_.data());
  if (!finalize(graph)) return nullptr;
  for (cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    cudnnBackendDescriptor_t heuristic = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    int64_t count = 0, given = 0;
    // A heuristic that knows nothing of the graph fails here; the other may yet.
    if (broken_ || !good(dnn_.set(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph), "asking for engines") ||
        !good(dnn_.set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode), "asking for engines") ||
        !good(dnn_.finalize(heuristic), "asking for engines") ||
        !good(dnn_.read(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr), "asking for engines"))
      continue;
    std::vector<cudnnBackendDescriptor_t> configurations;
    for (int64_t i = 0; i < count; i++) configurations.push_back(make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    if (broken_) return nullptr;
    if (count == 0 || !good(dnn_.read(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &given, configurations.data()), "asking for engines"))
      continue;
    for (int64_t i = 0; i < std::min(count, given); i++)
      if (auto plan = plan_of(configurations[static_cast<size_t>(i)], tf32, most, way)) return plan;
  }
  if (reason_.empty()) reason_ = "it names no engine";
  return nullptr;
}

}  // namespace graft::cuda
