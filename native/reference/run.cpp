// What the reference kernels share: attributes, gradients, epilogues.
#include <cmath>

#include "reference.h"

namespace graft::reference {

double activate(Activation activation, double slope, double x) {
  // Comparisons are written so that a NaN comes out as a NaN.
  switch (activation) {
    case Activation::None: return x;
    case Activation::Relu: return x <= 0 ? 0 : x;
    case Activation::Relu6: return x <= 0 ? 0 : x >= 6 ? 6 : x;
    case Activation::LeakyRelu: return x <= 0 ? slope * x : x;
    case Activation::Sigmoid: return 1 / (1 + std::exp(-x));
    case Activation::GeluExact: return 0.5 * x * (1 + std::erf(x * std::sqrt(0.5)));
    case Activation::GeluTanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::Silu: return x / (1 + std::exp(-x));
  }
  return x;
}

double activation_slope(Activation activation, double slope, double y) {
  switch (activation) {
    case Activation::None: return 1;
    case Activation::Relu: return y > 0 ? 1 : 0;
    case Activation::Relu6: return y > 0 && y < 6 ? 1 : 0;
    case Activation::LeakyRelu: return y > 0 ? 1 : slope;
    case Activation::Sigmoid: return y * (1 - y);
    default: ensure(false, "this activation's gradient cannot be read from its result");
  }
  return 0;
}

double Run::number(const char* key) const {
  for (const auto& attribute : request.attributes)  // unlike find(), makes no string
    if (attribute.first == key) return attribute.second;
  ensure(false, "attribute ", key, " of ", request.name(), " was never declared");
  return 0;
}

Gradient Run::gradient(size_t i) const {
  if (i >= request.modes.size() || request.modes[i] == GradMode::Ignore) return {};
  const auto& inputs = request.op->inputs;
  Role role = inputs[std::min(i, inputs.size() - 1)].role;
  return {args.din[i], gradient_type(role, request.inputs[i].dtype), request.modes[i]};
}

Result Run::result() const {
  In residual = request.epilogue.residual ? In{args.residual, request.outputs[0].dtype} : In{};
  return {out(0), residual, request.epilogue};
}

In Run::result_gradient() const {
  DType type = request.outputs[0].dtype;
  if (!request.second_gradient && !request.epilogue.any()) return {args.dout, type};
  In first{args.dout, type}, second{request.second_gradient ? args.dout2 : nullptr, type};
  In y{args.activated, type};
  const uint8_t* signs = static_cast<const uint8_t*>(args.activated);
  Out g{args.scratch, type};
  for (int64_t i = 0; i < request.outputs[0].count(); i++) {
    double v = first[i] + (second ? second[i] : 0);
    if (request.signs) v *= signs[i / 8] >> i % 8 & 1 ? 1 : request.epilogue.activation == Activation::LeakyRelu ? request.epilogue.slope : 0;
    else if (request.epilogue.activation != Activation::None) v *= activation_slope(request.epilogue.activation, request.epilogue.slope, y[i]);
    g.put(i, v);
  }
  if (request.residual_gradient) std::memcpy(args.dresidual, args.scratch, request.outputs[0].bytes());
  return {args.scratch, type};
}

size_t gradient_bytes(const Request& request) {
  bool formed = request.pass == Pass::Backward && (request.second_gradient || request.epilogue.any());
  return formed ? aligned(request.outputs[0].bytes()) : 0;
}

double* Run::sums() const {
  return reinterpret_cast<double*>(static_cast<char*>(args.scratch) + gradient_bytes(request));
}

int64_t Run::valid_rows(const Shape& shape) const {
  return args.step->header->valid_rows * (shape[0] / request.batch);
}

void require_float(const OpCall& call, size_t input, const char* op, const char* what) {
  DType type = call.inputs[input].dtype;
  require(is_float(type), op, ": ", what, " must be a float tensor, got ", name_of(type));
}

int axis_of(const OpCall& call, const char* op, const char* key, int rank) {
  int64_t axis = call.integer(key);
  require(axis >= -rank && axis < rank, op, ": ", key, " must lie in -", rank, "..", rank - 1, ", got ", axis);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

}  // namespace graft::reference
