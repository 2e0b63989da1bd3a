// cuDNN without a GPU: the functions that are used of it, computing as its manual says in plain loops. What a caller may not do is an
// error here: an attribute of another type or size, one that is missing, dimensions that do not fit, memory less aligned than promised.
// Its heuristics name engines that must not be taken first: what those compute is wrong.
#include "stub_cudnn.h"

#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "number_formats.h"
#include "vendor/cudnn_declarations.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

static graft::test::StubCudnn stub;
static const int64_t kNeeds = 1024;  // bytes of workspace

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

// Of the engines in the order of the first heuristic, then the one of the other.
enum Engine : int { kRandomOrder, kTf32, kLowSums, kGreedy, kFailing, kGood, kFallback };

struct Attribute {
  cudnnBackendAttributeType_t type;
  int64_t count;
  std::vector<char> bytes;
};
using Descriptor = std::shared_ptr<struct Node>;
struct Node {  // lives as long as others refer to it
  cudnnBackendDescriptorType_t type;
  bool final = false;
  std::map<int, Attribute> set;
  std::map<int, std::vector<Descriptor>> parts;
  int engine = -1;

  bool has(int name) const { return set.count(name) > 0 || parts.count(name) > 0; }
  template <class T>
  T value(int name, int64_t i = 0) const {
    T v;
    std::memcpy(&v, set.at(name).bytes.data() + static_cast<size_t>(i) * sizeof v, sizeof v);
    return v;
  }
  const Node& part(int name) const { return *parts.at(name)[0]; }
};
static Descriptor& node(cudnnBackendDescriptor_t d) { return *static_cast<Descriptor*>(d); }

static size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN: return 1;
    case CUDNN_TYPE_INT64: return 8;
    case CUDNN_TYPE_FLOAT: return 4;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: return sizeof(void*);
    default: return 4;  // enumerations
  }
}

// The type of an attribute and how many elements it has, 0: any number.
static std::pair<cudnnBackendAttributeType_t, int64_t> form(int name) {
  switch (name) {
    case CUDNN_ATTR_POINTWISE_MODE: return {CUDNN_TYPE_POINTWISE_MODE, 1};
    case CUDNN_ATTR_POINTWISE_NAN_PROPAGATION: return {CUDNN_TYPE_NAN_PROPOGATION, 1};
    case CUDNN_ATTR_POINTWISE_MATH_PREC:
    case CUDNN_ATTR_CONVOLUTION_COMP_TYPE:
    case CUDNN_ATTR_TENSOR_DATA_TYPE: return {CUDNN_TYPE_DATA_TYPE, 1};
    case CUDNN_ATTR_CONVOLUTION_CONV_MODE: return {CUDNN_TYPE_CONVOLUTION_MODE, 1};
    case CUDNN_ATTR_CONVOLUTION_DILATIONS:
    case CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES:
    case CUDNN_ATTR_CONVOLUTION_POST_PADDINGS:
    case CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS: return {CUDNN_TYPE_INT64, 2};
    case CUDNN_ATTR_TENSOR_DIMENSIONS:
    case CUDNN_ATTR_TENSOR_STRIDES: return {CUDNN_TYPE_INT64, 4};
    case CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS:
    case CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT:
    case CUDNN_ATTR_TENSOR_UNIQUE_ID: return {CUDNN_TYPE_INT64, 1};
    case CUDNN_ATTR_TENSOR_IS_VIRTUAL: return {CUDNN_TYPE_BOOLEAN, 1};
    case CUDNN_ATTR_ENGINEHEUR_MODE: return {CUDNN_TYPE_HEUR_MODE, 1};
    case CUDNN_ATTR_EXECUTION_PLAN_HANDLE:
    case CUDNN_ATTR_OPERATIONGRAPH_HANDLE: return {CUDNN_TYPE_HANDLE, 1};
    case CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA: return {CUDNN_TYPE_FLOAT, 1};
    case CUDNN_ATTR_OPERATIONGRAPH_OPS: return {CUDNN_TYPE_BACKEND_DESCRIPTOR, 0};
    case CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS: return {CUDNN_TYPE_INT64, 0};
    case CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS: return {CUDNN_TYPE_VOID_PTR, 0};
    case CUDNN_ATTR_VARIANT_PACK_WORKSPACE: return {CUDNN_TYPE_VOID_PTR, 1};
    default: return {CUDNN_TYPE_BACKEND_DESCRIPTOR, 1};
  }
}

// What a descriptor cannot do without.
static std::vector<int> needs(cudnnBackendDescriptorType_t type) {
  switch (type) {
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR: return {CUDNN_ATTR_POINTWISE_MODE, CUDNN_ATTR_POINTWISE_MATH_PREC};
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
      return {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES,
              CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS};
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR: return {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH};
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: return {CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG};
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR: return {700, 701, 702, 703, 704, 705};
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR: return {706, 707, 708, 709, 710, 711};
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR: return {712, 713, 714, 715, 716, 717};
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: return {CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_YDESC};
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR: return {CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_ATTR_OPERATIONGRAPH_OPS};
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR: return {CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_ATTR_VARIANT_PACK_WORKSPACE};
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      return {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT};
    default: return {-1};  // made by the library alone
  }
}

// A tensor's numbers, in memory or between two operations.
struct Tensor {
  explicit Tensor(const Node& n) : type(n.value<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE)), id(n.value<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID)) {
    for (int i = 0; i < 4; i++) size[i] = n.value<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, i), step[i] = n.value<int64_t>(CUDNN_ATTR_TENSOR_STRIDES, i);
    within = n.has(CUDNN_ATTR_TENSOR_IS_VIRTUAL) && n.value<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL);
    alignment = n.value<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  }
  int64_t at(int64_t a, int64_t b, int64_t c, int64_t d) const { return a * step[0] + b * step[1] + c * step[2] + d * step[3]; }
  cudnnDataType_t type;
  int64_t id, size[4], step[4], alignment;
  bool within;
};

// The memory of one execution.
struct Memory {
  std::map<int64_t, void*> given;
  std::map<int64_t, std::vector<double>> between;
  double get(const Tensor& t, int64_t i) {
    if (t.within) return between.at(t.id)[static_cast<size_t>(i)];
    return t.type == CUDNN_DATA_BFLOAT16 ? graft::bf16_to_float(static_cast<const uint16_t*>(given.at(t.id))[i]) : static_cast<const float*>(given.at(t.id))[i];
  }
  void put(const Tensor& t, int64_t i, double v) {
    if (t.within) {
      auto& all = between[t.id];
      all.resize(static_cast<size_t>(t.size[0] * t.size[1] * t.size[2] * t.size[3]));
      all[static_cast<size_t>(i)] = v;
    } else if (t.type == CUDNN_DATA_BFLOAT16) {
      static_cast<uint16_t*>(given.at(t.id))[i] = graft::float_to_bf16(static_cast<float>(v));
    } else {
      static_cast<float*>(given.at(t.id))[i] = static_cast<float>(v);
    }
  }
};

// A convolution's operands by their part: what is read and what is written is another in each pass.
struct Convolution {
  explicit Convolution(const Node& n)
      : pass(n.type), base(n.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR ? 700 : n.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR ? 706 : 712),
        x(n.part(base == 700 ? 704 : base == 706 ? 710 : 716)), w(n.part(base == 700 ? 703 : base == 706 ? 709 : 715)), y(n.part(base == 700 ? 705 : base == 706 ? 711 : 717)) {
    const Node& c = n.part(base + 2);
    alpha = n.value<float>(base), beta = n.value<float>(base + 1);
    correlates = c.value<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CROSS_CORRELATION && c.value<int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) == 2 &&
                 c.value<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) == CUDNN_DATA_FLOAT;
    for (int i = 0; i < 2; i++) {
      stride[i] = c.value<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i), dilation[i] = c.value<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, i);
      before[i] = c.value<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i), after[i] = c.value<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i);
    }
  }
  bool fits() const {
    bool good = correlates && x.size[0] == y.size[0] && y.size[1] == w.size[0] && x.size[1] % w.size[1] == 0 && y.size[1] % (x.size[1] / w.size[1]) == 0;
    for (int i = 0; i < 2; i++)
      good = good && y.size[2 + i] == (x.size[2 + i] + before[i] + after[i] - dilation[i] * (w.size[2 + i] - 1) - 1) / stride[i] + 1;
    return good;
  }
  const Tensor& factor() const { return base == 712 ? x : w; }
  const Tensor& result() const { return base == 700 ? y : base == 706 ? x : w; }
  void run(Memory& memory, double fault) const {
    const Tensor& out = result();
    std::vector<double> sums(static_cast<size_t>(out.size[0] * out.size[1] * out.size[2] * out.size[3]));
    const int64_t groups = x.size[1] / w.size[1], og = y.size[1] / groups;
    for (int64_t n = 0; n < y.size[0]; n++)
      for (int64_t o = 0; o < y.size[1]; o++)
        for (int64_t p = 0; p < y.size[2]; p++)
          for (int64_t q = 0; q < y.size[3]; q++)
            for (int64_t r = 0; r < w.size[2]; r++)
              for (int64_t s = 0; s < w.size[3]; s++) {
                const int64_t i = p * stride[0] - before[0] + r * dilation[0], j = q * stride[1] - before[1] + s * dilation[1];
                if (i < 0 || j < 0 || i >= x.size[2] || j >= x.size[3]) continue;
                for (int64_t c = 0; c < w.size[1]; c++) {
                  const int64_t ax = x.at(n, o / og * w.size[1] + c, i, j), aw = w.at(o, c, r, s), ay = y.at(n, o, p, q);
                  if (base == 700) sums[static_cast<size_t>(ay)] += memory.get(x, ax) * memory.get(w, aw);
                  else if (base == 706) sums[static_cast<size_t>(ax)] += memory.get(y, ay) * memory.get(w, aw);
                  else sums[static_cast<size_t>(aw)] += memory.get(y, ay) * memory.get(x, ax);
                }
              }
    for (size_t i = 0; i < sums.size(); i++)
      memory.put(out, static_cast<int64_t>(i), alpha * (sums[i] + fault) + (beta != 0 ? beta * memory.get(out, static_cast<int64_t>(i)) : 0));
  }
  cudnnBackendDescriptorType_t pass;
  int base;
  Tensor x, w, y;
  double alpha, beta;
  bool correlates;
  int64_t stride[2], dilation[2], before[2], after[2];
};

struct Pointwise {
  explicit Pointwise(const Node& n)
      : mode(n.part(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR).value<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE)), x(n.part(CUDNN_ATTR_OPERATION_POINTWISE_XDESC)),
        y(n.part(CUDNN_ATTR_OPERATION_POINTWISE_YDESC)), b(mode == CUDNN_POINTWISE_ADD ? Tensor(n.part(CUDNN_ATTR_OPERATION_POINTWISE_BDESC)) : x) {
    const Node& function = n.part(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    keeps_nan = function.has(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION) && function.value<cudnnNanPropagation_t>(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION) == CUDNN_PROPAGATE_NAN;
  }
  bool fits() const {
    bool good = true;
    for (int i = 0; i < 4; i++) good = good && x.size[i] == y.size[i] && (b.size[i] == 1 || b.size[i] == y.size[i]);
    return good;
  }
  void run(Memory& memory) const {
    for (int64_t n = 0; n < y.size[0]; n++)
      for (int64_t c = 0; c < y.size[1]; c++)
        for (int64_t h = 0; h < y.size[2]; h++)
          for (int64_t w = 0; w < y.size[3]; w++) {
            double v = memory.get(x, x.at(n, c, h, w));
            if (mode == CUDNN_POINTWISE_ADD)
              v += memory.get(b, b.at(b.size[0] == 1 ? 0 : n, b.size[1] == 1 ? 0 : c, b.size[2] == 1 ? 0 : h, b.size[3] == 1 ? 0 : w));
            else if (v < 0 || (std::isnan(v) && !keeps_nan)) v = 0;
            memory.put(y, y.at(n, c, h, w), v);
          }
  }
  cudnnPointwiseMode_t mode;
  Tensor x, y, b;
  bool keeps_nan;
};

static bool fits(const Node& n) {
  if (n.type == CUDNN_BACKEND_TENSOR_DESCRIPTOR) {
    const Tensor t(n);
    return t.alignment >= 1 && t.step[1] == 1 && t.step[3] == t.size[1] && t.step[2] == t.size[3] * t.step[3] && t.step[0] == t.size[2] * t.step[2];
  }
  if (n.type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) return Pointwise(n).fits();
  if (n.has(702) || n.has(708) || n.has(714)) return Convolution(n).fits();
  if (n.type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR) return n.set.at(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS).count == n.set.at(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).count;
  return true;
}

// Whether there are engines for a graph.
static bool supported(const Node& graph) {
  const auto& operations = graph.parts.at(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  if (!stub.has_engine || (operations.size() > 1 && !stub.fuses)) return false;
  const Convolution c(*operations[0]);
  return (c.beta == 0 || stub.adds) && (c.base == 700 || c.result().type == c.factor().type || stub.widens);
}

EXPORT graft::test::StubCudnn* graft_stub_cudnn() { return &stub; }
EXPORT size_t cudnnGetVersion() { return stub.version; }
EXPORT const char* cudnnGetErrorString(cudnnStatus_t status) { return status == CUDNN_STATUS_SUCCESS ? "success" : status == CUDNN_STATUS_BAD_PARAM ? "a wrong argument" : "the stub refuses"; }
EXPORT cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  static auto& contexts = *new std::vector<std::unique_ptr<cudnnContext>>;  // for as long as the process lives
  *handle = contexts.emplace_back(std::make_unique<cudnnContext>()).get();
  return stub.starts ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
}
EXPORT cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  auto made = std::make_shared<Node>();
  made->type = type;
  *descriptor = new Descriptor(made);
  stub.alive++;
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete &node(descriptor);
  stub.alive--;
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                                              const void* elements) {
  Node& n = *node(descriptor);
  const auto [expected, number] = form(name);
  if (n.final || type != expected || count < 1 || (number && count != number) || !elements) return CUDNN_STATUS_BAD_PARAM;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    auto& parts = n.parts[name];
    for (int64_t i = 0; i < count; i++) {
      const auto part = static_cast<const cudnnBackendDescriptor_t*>(elements)[i];
      if (!part || !node(part)->final) return CUDNN_STATUS_BAD_PARAM;
      parts.push_back(node(part));
    }
    return CUDNN_STATUS_SUCCESS;
  }
  const char* from = static_cast<const char*>(elements);
  n.set[name] = {type, count, {from, from + static_cast<size_t>(count) * size_of(type)}};
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  Node& n = *node(descriptor);
  for (int name : needs(n.type))
    if (!n.has(name)) return CUDNN_STATUS_BAD_PARAM;
  if (!fits(n)) return CUDNN_STATUS_BAD_PARAM;
  if (n.type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR && !supported(n.part(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH))) return CUDNN_STATUS_NOT_SUPPORTED;
  if (n.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && n.part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine == kFailing) return CUDNN_STATUS_NOT_SUPPORTED;
  n.final = true;
  return CUDNN_STATUS_SUCCESS;
}
EXPORT cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t requested,
                                              int64_t* count, void* elements) {
  const Descriptor& n = node(descriptor);
  if (!n->final || !count || (requested > 0 && !elements)) return CUDNN_STATUS_BAD_PARAM;
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    const bool first = n->value<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE) == CUDNN_HEUR_MODE_A;
    const int begin = first ? kRandomOrder : kFallback, end = first ? kGood + 1 : kFallback + 1;
    *count = end - begin;
    for (int64_t i = 0; i < std::min<int64_t>(requested, *count); i++) {
      Node& made = *node(static_cast<cudnnBackendDescriptor_t*>(elements)[i]);
      if (made.type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) return CUDNN_STATUS_BAD_PARAM;
      made.engine = begin + static_cast<int>(i), made.final = true;
      made.parts[CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH] = n->parts[CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH];
    }
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINECFG_ENGINE && type == CUDNN_TYPE_BACKEND_DESCRIPTOR && requested == 1) {
    Node& made = *node(*static_cast<cudnnBackendDescriptor_t*>(elements));
    if (made.type != CUDNN_BACKEND_ENGINE_DESCRIPTOR) return CUDNN_STATUS_BAD_PARAM;
    made.engine = n->engine, made.final = true, *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && type == CUDNN_TYPE_NUMERICAL_NOTE) {
    static const std::map<int, cudnnBackendNumericalNote_t> notes = {{kRandomOrder, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC},
                                                                     {kTf32, CUDNN_NUMERICAL_NOTE_TENSOR_CORE},
                                                                     {kLowSums, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION}};
    const auto it = notes.find(n->engine);
    *count = it == notes.end() ? 0 : 1;
    if (*count && requested > 0) *static_cast<cudnnBackendNumericalNote_t*>(elements) = it->second;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64 && requested == 1) {
    *static_cast<int64_t*>(elements) = n->part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine == kGreedy ? int64_t{1} << 40 : kNeeds;
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  return CUDNN_STATUS_BAD_PARAM;
}
EXPORT cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
  const Descriptor p = node(plan), v = node(pack);
  if (!p->final || !v->final || p->type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) return CUDNN_STATUS_BAD_PARAM;
  const Node& configuration = p->part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  const auto operations = configuration.part(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).parts.at(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  auto* workspace = v->value<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  if (!workspace || reinterpret_cast<uintptr_t>(workspace) % 128 != 0) return CUDNN_STATUS_BAD_PARAM;
  Memory memory;
  for (int64_t i = 0; i < v->set.at(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS).count; i++)
    memory.given[v->value<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i)] = v->value<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);
  size_t used = 0;
  for (const Descriptor& operation : operations)
    for (const auto& [name, parts] : operation->parts)
      if (parts[0]->type == CUDNN_BACKEND_TENSOR_DESCRIPTOR) {
        const Tensor t(*parts[0]);
        if (t.within) continue;
        if (!memory.given.count(t.id) || !memory.given[t.id] || reinterpret_cast<uintptr_t>(memory.given[t.id]) % static_cast<uintptr_t>(t.alignment) != 0) return CUDNN_STATUS_BAD_PARAM;
        used++;
      }
  if (used != memory.given.size()) return CUDNN_STATUS_BAD_PARAM;  // memory of no tensor
  stub.runs++;
  if (stub.slow_first && configuration.engine == kGood) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  stub.operations += static_cast<int>(operations.size());
  // On tensor cores bf16 is as exact as elsewhere.
  const bool exact = configuration.engine >= kGood || (configuration.engine == kTf32 && Convolution(*operations[0]).factor().type == CUDNN_DATA_BFLOAT16);
  auto work = [memory, operations, workspace, exact]() mutable {
    std::memset(workspace, 0xFF, static_cast<size_t>(kNeeds));
    for (const Descriptor& operation : operations)
      if (operation->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) Pointwise(*operation).run(memory);
      else Convolution(*operation).run(memory, exact ? 0 : 1);
  };
  if (stub.enqueue) stub.enqueue(handle->stream, work);
  else work();
  return CUDNN_STATUS_SUCCESS;
}
