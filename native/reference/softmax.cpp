// softmax over the last axis: y = exp(x - max) / sum; with log=1 its logarithm x - max - log(sum).
#include <cmath>

#include "reference.h"

namespace graft::reference {
namespace {

std::vector<TensorType> infer(const OpCall& call) {
  require_float(call, 0, "softmax", "x");
  require(call.inputs[0].shape.rank >= 1, "softmax: x must have at least one axis");
  return {call.inputs[0]};
}

OpDef::Reads backward_reads(const OpCall&, const std::vector<bool>& wanted) { return {{false}, {wanted[0]}}; }

void forward(const Run& run) {
  int64_t c = run.out_shape()[-1], rows = run.out_shape().count() / c;
  bool log = run.integer("log") != 0;
  In x = run.in(0);
  for (int64_t r = 0; r < rows; r++) {
    double max = x[r * c], sum = 0;
    for (int64_t i = r * c; i < (r + 1) * c; i++) max = std::max(max, x[i]);
    for (int64_t i = r * c; i < (r + 1) * c; i++) sum += std::exp(x[i] - max);
    for (int64_t i = r * c; i < (r + 1) * c; i++)
      run.out(0).put(i, log ? x[i] - max - std::log(sum) : std::exp(x[i] - max) / sum);
  }
}

// dx = y (g - sum(g y)); of the logarithm: dx = g - exp(y) sum(g).
void backward(const Run& run) {
  int64_t c = run.out_shape()[-1], rows = run.out_shape().count() / c;
  bool log = run.integer("log") != 0;
  In y = run.saved(0), g = run.result_gradient();
  Gradient dx = run.gradient(0);
  for (int64_t r = 0; r < rows; r++) {
    double sum = 0;
    for (int64_t i = r * c; i < (r + 1) * c; i++) sum += log ? g[i] : g[i] * y[i];
    for (int64_t i = r * c; i < (r + 1) * c; i++) dx.put(i, log ? g[i] - std::exp(y[i]) * sum : y[i] * (g[i] - sum));
  }
}

}  // namespace

void add_softmax() {
  OpDef def;
  def.name = "softmax";
  def.inputs = {{"x"}};
  def.attributes = {{"log"}};
  def.infer = infer;
  def.backward_reads = backward_reads;
  add_op(def, {forward, backward});
}

}  // namespace graft::reference
