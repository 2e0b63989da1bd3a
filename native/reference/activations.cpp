// Unary functions, element by element. The piecewise linear ones and the sigmoid read their gradient from the result.
#include <cmath>

#include "reference.h"

namespace graft::reference {
namespace {

std::vector<TensorType> infer(const OpCall& call) {
  require_float(call, 0, "activation", "x");
  return {call.inputs[0]};
}

std::vector<TensorType> leaky_relu_infer(const OpCall& call) {
  require_float(call, 0, "leaky_relu", "x");
  // A negative slope would give a positive result on both sides: the gradient could not be read from it.
  require(call.number("slope") >= 0, "leaky_relu: slope must not be negative, got ", call.number("slope"));
  return {call.inputs[0]};
}

OpDef::Reads reads_result(const OpCall&, const std::vector<bool>& wanted) { return {{false}, {wanted[0]}}; }
OpDef::Reads reads_x(const OpCall&, const std::vector<bool>& wanted) { return {{wanted[0]}, {false}}; }

double gelu_slope(double x) {  // d/dx of x * Phi(x)
  return 0.5 * (1 + std::erf(x * std::sqrt(0.5))) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
}

double gelu_tanh_slope(double x) {
  double k = std::sqrt(2 / M_PI), t = std::tanh(k * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x);
}

double silu_slope(double x) {
  double s = 1 / (1 + std::exp(-x));
  return s * (1 + x * (1 - s));
}

Activation activation_of(const Run& run) {
  const OpDef& op = *run.request.op;
  if (op.activation != Activation::None) return op.activation;
  if (op.name == "silu") return Activation::Silu;
  return run.integer("tanh") ? Activation::GeluTanh : Activation::GeluExact;
}

double slope_of(const Run& run, Activation activation) {
  return activation == Activation::LeakyRelu ? run.number("slope") : 0;
}

void forward(const Run& run) {
  Activation activation = activation_of(run);
  double slope = slope_of(run, activation);
  In x = run.in(0);
  Out y = run.out(0);
  for (int64_t i = 0; i < run.out_shape().count(); i++) y.put(i, activate(activation, slope, x[i]));
}

void backward_from_result(const Run& run) {
  Activation activation = activation_of(run);
  double slope = slope_of(run, activation);
  In y = run.saved(0), g = run.result_gradient();
  Gradient dx = run.gradient(0);
  for (int64_t i = 0; i < run.out_shape().count(); i++) dx.put(i, g[i] * activation_slope(activation, slope, y[i]));
}

void backward_from_x(const Run& run) {
  Activation activation = activation_of(run);
  In x = run.in(0), g = run.result_gradient();
  Gradient dx = run.gradient(0);
  for (int64_t i = 0; i < run.out_shape().count(); i++)
    dx.put(i, g[i] * (activation == Activation::Silu        ? silu_slope(x[i])
                      : activation == Activation::GeluTanh ? gelu_tanh_slope(x[i])
                                                           : gelu_slope(x[i])));
}

// `from_result`: the function whose gradient is read from its result, or None.
void add(const char* name, Activation from_result, std::vector<AttributeDef> attributes = {}) {
  const bool result = from_result != Activation::None;
  OpDef def;
  def.name = name;
  def.inputs = {{"x"}};
  def.attributes = std::move(attributes);
  def.infer = def.name == "leaky_relu" ? leaky_relu_infer : infer;
  def.backward_reads = result ? reads_result : reads_x;
  def.pointwise = true;
  def.activation = from_result;
  add_op(def, {forward, result ? backward_from_result : backward_from_x});
}

}  // namespace

void add_activations() {
  add("relu", Activation::Relu);
  add("relu6", Activation::Relu6);
  add("leaky_relu", Activation::LeakyRelu, {{"slope", 0.01}});
  add("sigmoid", Activation::Sigmoid);
  add("gelu", Activation::None, {{"tanh"}});
  add("silu", Activation::None);
}

}  // namespace graft::reference
