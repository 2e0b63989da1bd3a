// The reference: every operation as its definition says, in plain loops. Operands may be stored in any element type;
// arithmetic is double for all of them and a value is rounded once, when it is stored. So a run on F64 storage serves
// gradient checks, one on F32 gives correctly rounded results, one on BF16 shows the error that storage alone makes.
//
// Gradients are gathered: each loop runs over the elements of the gradient and sums what flows into one of them, so
// overwriting, accumulating and leaving out are the same code.
#pragma once
#include <cstring>

#include "column.h"
#include "number_formats.h"
#include "op.h"

namespace graft::reference {

inline double load(const void* p, DType type, int64_t i) {
  switch (type) {
    case DType::F32: return static_cast<const float*>(p)[i];
    case DType::F64: return static_cast<const double*>(p)[i];
    case DType::BF16: return bf16_to_float(static_cast<const uint16_t*>(p)[i]);
    case DType::F16: return f16_to_float(static_cast<const uint16_t*>(p)[i]);
    case DType::I32: return static_cast<const int32_t*>(p)[i];
    case DType::I64: return static_cast<double>(static_cast<const int64_t*>(p)[i]);
    case DType::U8: return static_cast<const uint8_t*>(p)[i];
  }
  return 0;
}

inline void store(void* p, DType type, int64_t i, double v) {
  switch (type) {
    case DType::F32: static_cast<float*>(p)[i] = static_cast<float>(v); break;
    case DType::F64: static_cast<double*>(p)[i] = v; break;
    case DType::BF16: static_cast<uint16_t*>(p)[i] = float_to_bf16(static_cast<float>(v)); break;
    case DType::F16: static_cast<uint16_t*>(p)[i] = float_to_f16(static_cast<float>(v)); break;
    case DType::I32: static_cast<int32_t*>(p)[i] = static_cast<int32_t>(v); break;
    case DType::I64: static_cast<int64_t*>(p)[i] = static_cast<int64_t>(v); break;
    case DType::U8: static_cast<uint8_t*>(p)[i] = static_cast<uint8_t>(v); break;
  }
}

// An operand that is read.
struct In {
  const void* address = nullptr;
  DType type = DType::F32;
  double operator[](int64_t i) const { return load(address, type, i); }
  explicit operator bool() const { return address != nullptr; }
};

// An operand that is written.
struct Out {
  void* address = nullptr;
  DType type = DType::F32;
  double operator[](int64_t i) const { return load(address, type, i); }
  void put(int64_t i, double v) const { store(address, type, i, v); }
  explicit operator bool() const { return address != nullptr; }
};

// A gradient and what happens to it.
struct Gradient {
  void* address = nullptr;
  DType type = DType::F32;
  GradMode mode = GradMode::Ignore;
  void put(int64_t i, double v) const {
    if (mode == GradMode::Ignore) return;
    store(address, type, i, mode == GradMode::Accumulate ? load(address, type, i) + v : v);
  }
  bool wanted() const { return mode != GradMode::Ignore; }
};

double activate(Activation activation, double slope, double x);
// activation'(x) out of y = activation(x).
double activation_slope(Activation activation, double slope, double y);

// The result of a forward pass with its epilogue.
struct Result {
  Out out;
  In residual;
  Epilogue epilogue;
  void put(int64_t i, double v) const {
    if (residual) v += residual[i];
    out.put(i, activate(epilogue.activation, epilogue.slope, v));
  }
};

// One run of a prepared call: the request's types bound to the addresses of the run.
class Run {
 public:
  Run(const Request& request, const Args& args) : request(request), args(args) {}
  const Request& request;
  const Args& args;

  double number(const char* key) const;
  int64_t integer(const char* key) const { return static_cast<int64_t>(number(key)); }
  bool has(size_t i) const { return i < request.inputs.size() && request.inputs[i].shape.rank >= 0; }
  const Shape& in_shape(size_t i) const { return request.inputs[i].shape; }
  const Shape& out_shape() const { return request.outputs[0].shape; }

  In in(size_t i) const { return has(i) ? In{args.in[i], request.inputs[i].dtype} : In{}; }
  Out out(size_t i) const { return {args.out[i], request.outputs[i].dtype}; }
  In saved(size_t i) const { return {args.out[i], request.outputs[i].dtype}; }
  Gradient gradient(size_t i) const;
  Result result() const;
  // Gradient of the result before its epilogue: (dout + dout2) * activation'(activated). Where it is more than dout it is
  // formed in scratch, in the result's type as separate steps would store it, and copied to the residual's gradient; call
  // once per run.
  In result_gradient() const;
  // Doubles in scratch behind those of result_gradient().
  double* sums() const;
  // Rows of dimension 0 of an input that count: those of the valid samples.
  int64_t valid_rows(const Shape& shape) const;
};

// Scratch that result_gradient() needs.
size_t gradient_bytes(const Request& request);

// What stands behind an operation's name.
struct Implementation {
  void (*forward)(const Run&) = nullptr;
  void (*backward)(const Run&) = nullptr;
  size_t (*sums)(const Request&) = nullptr;  // doubles of scratch for Run::sums(); null = none
  bool epilogue = false;                     // takes residual and activation
};

void add_op(OpDef def, Implementation implementation);
const Implementation& implementation_of(const std::string& op);

std::unique_ptr<Kernel> prepare_service(const ServiceRequest& request);
std::unique_ptr<Kernel> prepare_convert(const TensorType& from, const TensorType& to);
std::unique_ptr<Kernel> prepare_optimizer(const OptimizerRequest& request);
std::unique_ptr<Kernel> prepare_product(const ProductRequest& request);

// Shared by shape rules.
void require_float(const OpCall& call, size_t input, const char* op, const char* what);
// The axis an attribute names; negative ones count from the end.
int axis_of(const OpCall& call, const char* op, const char* key, int rank);
inline OpDef::Reads reads_nothing(const OpCall& call, const std::vector<bool>&) {
  return {std::vector<bool>(call.inputs.size(), false), std::vector<bool>(3, false)};
}

// Registration, one function per file; registry.cpp calls them.
void add_linear_and_matmul();
void add_conv2d();
void add_batch_norm();
void add_lora_linear();
void add_layer_norm();
void add_activations();
void add_broadcast();
void add_pool();
void add_movement();
void add_dropout();
void add_embed_tokens();
void add_softmax();
void add_attention();
void add_losses();
void add_linear_cross_entropy();
void add_pictures();

}  // namespace graft::reference
