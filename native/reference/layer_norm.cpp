// layer_norm over the last axis: y = (x - mean) * rstd * weight + bias with the mean and biased variance of each row.
#include <cmath>

#include "reference.h"

namespace graft::reference {
namespace {

std::vector<TensorType> infer(const OpCall& call) {
  const Shape& x = call.inputs[0].shape;
  require_float(call, 0, "layer_norm", "x");
  require(x.rank >= 1, "layer_norm: x must have at least one axis, got ", x.str());
  for (size_t i : {1, 2})
    if (call.has(i))
      require(call.inputs[i].shape == Shape{x[-1]}, "layer_norm: ", i == 1 ? "weight" : "bias", " must be [", x[-1],
              "] as the last axis of x ", x.str(), ", got ", call.inputs[i].shape.str());
  require(call.number("eps") >= 0, "layer_norm: eps must not be negative, got ", call.number("eps"));
  TensorType saved{call.inputs[0].dtype == DType::F64 ? DType::F64 : DType::F32, {x.count() / x[-1]}};
  return {call.inputs[0], saved, saved};
}

OpDef::Reads backward_reads(const OpCall& call, const std::vector<bool>& wanted) {
  OpDef::Reads reads = reads_nothing(call, wanted);
  bool weight = wanted.size() > 1 && wanted[1];
  reads.inputs[0] = wanted[0] || weight;
  if (call.has(1)) reads.inputs[1] = wanted[0];
  reads.outputs[1] = reads.outputs[2] = reads.inputs[0];
  return reads;
}

void forward(const Run& run) {
  int64_t c = run.out_shape()[-1], rows = run.out_shape().count() / c;
  double eps = run.number("eps");
  In x = run.in(0), weight = run.in(1), bias = run.in(2);
  Result y = run.result();
  for (int64_t r = 0; r < rows; r++) {
    double mean = 0, var = 0;
    for (int64_t i = r * c; i < (r + 1) * c; i++) mean += x[i] / c;
    for (int64_t i = r * c; i < (r + 1) * c; i++) var += (x[i] - mean) * (x[i] - mean) / c;
    double rstd = 1 / std::sqrt(var + eps);
    run.out(1).put(r, mean);
    run.out(2).put(r, rstd);
    for (int64_t i = 0; i < c; i++)
      y.put(r * c + i, (x[r * c + i] - mean) * rstd * (weight ? weight[i] : 1) + (bias ? bias[i] : 0));
  }
}

void backward(const Run& run) {
  int64_t c = run.out_shape()[-1], rows = run.out_shape().count() / c;
  In x = run.in(0), weight = run.in(1), g = run.result_gradient(), mean = run.saved(1), rstd = run.saved(2);
  Gradient dx = run.gradient(0), dweight = run.gradient(1), dbias = run.gradient(2);
  auto normal = [&](int64_t r, int64_t i) { return (x[r * c + i] - mean[r]) * rstd[r]; };
  // The parameters first: the gradient of x may lie on the result's gradient.
  for (int64_t i = 0; i < c && (dweight.wanted() || dbias.wanted()); i++) {
    double sum_gx = 0, sum_g = 0;
    for (int64_t r = 0; r < rows; r++) {
      sum_g += g[r * c + i];
      if (dweight.wanted()) sum_gx += g[r * c + i] * normal(r, i);
    }
    dweight.put(i, sum_gx);
    dbias.put(i, sum_g);
  }
  for (int64_t r = 0; r < rows && dx.wanted(); r++) {
    double sum_g = 0, sum_gx = 0;  // of the gradient of the normalised row
    auto scaled = [&](int64_t i) { return g[r * c + i] * (weight ? weight[i] : 1); };
    for (int64_t i = 0; i < c; i++) {
      sum_g += scaled(i);
      sum_gx += scaled(i) * normal(r, i);
    }
    for (int64_t i = 0; i < c; i++) dx.put(r * c + i, rstd[r] * (scaled(i) - (sum_g + normal(r, i) * sum_gx) / c));
  }
}

}  // namespace

void add_layer_norm() {
  OpDef def;
  def.name = "layer_norm";
  def.inputs = {{"x"}, {"weight", Role::Vector, true}, {"bias", Role::Vector, true}};
  def.attributes = {{"eps", 1e-5}};
  def.infer = infer;
  def.backward_reads = backward_reads;
  add_op(def, {forward, backward});
}

}  // namespace graft::reference
