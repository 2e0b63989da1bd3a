// batch_norm over the last axis: y = (x - mean) * rstd * weight + bias, rstd = 1 / sqrt(var + eps).
// Over the batch (`batch_statistics`): mean and biased variance of the valid rows; the running statistics take
// (1 - momentum) * running + momentum * (mean, unbiased variance), as PyTorch. Padded rows take no part: they are
// normalised like the others, and their gradient is zero. Otherwise: mean and variance are the running ones.
#include <cmath>

#include "reference.h"

namespace graft::reference {
namespace {

enum { X, Weight, Bias, RunningMean, RunningVar };

std::vector<TensorType> infer(const OpCall& call) {
  const Shape& x = call.inputs[X].shape;
  require_float(call, X, "batch_norm", "x");
  require(x.rank >= 2, "batch_norm: x must be [batch, ..., channels], got ", x.str());
  const char* names[] = {"x", "weight", "bias", "running_mean", "running_var"};
  for (int i = Weight; i <= RunningVar; i++)
    require(call.inputs[i].shape == Shape{x[-1]}, "batch_norm: ", names[i], " must be [", x[-1], "] as x ", x.str(),
            " has ", x[-1], " channels, got ", call.inputs[i].shape.str());
  require(call.number("eps") >= 0, "batch_norm: eps must not be negative, got ", call.number("eps"));
  TensorType saved{call.inputs[X].dtype == DType::F64 ? DType::F64 : DType::F32, {x[-1]}};
  return {call.inputs[X], saved, saved};
}

OpDef::Reads backward_reads(const OpCall& call, const std::vector<bool>& wanted) {
  OpDef::Reads reads = reads_nothing(call, wanted);
  bool batch = call.integer("batch_statistics") != 0;
  reads.inputs[Weight] = wanted[X];
  reads.inputs[X] = wanted[Weight] || (batch && wanted[X]);
  reads.inputs[RunningMean] = !batch && wanted[Weight];
  reads.inputs[RunningVar] = !batch && (wanted[X] || wanted[Weight]);
  reads.outputs[1] = batch && (wanted[X] || wanted[Weight]);
  reads.outputs[2] = reads.outputs[1];
  return reads;
}

void update_running(const Run& run, int64_t channel, double mean, double unbiased) {
  double m = run.number("momentum");
  Out running_mean{run.args.in[RunningMean], run.request.inputs[RunningMean].dtype};
  Out running_var{run.args.in[RunningVar], run.request.inputs[RunningVar].dtype};
  running_mean.put(channel, (1 - m) * running_mean[channel] + m * mean);
  running_var.put(channel, (1 - m) * running_var[channel] + m * unbiased);
}

void forward(const Run& run) {
  int64_t c = run.out_shape()[-1], count = run.out_shape().count();
  double eps = run.number("eps");
  bool batch = run.request.batch_statistics;
  In x = run.in(X), weight = run.in(Weight), bias = run.in(Bias);
  Result y = run.result();
  int64_t valid = batch ? count / run.out_shape()[0] * run.valid_rows(run.out_shape()) : 0;
  for (int64_t ch = 0; ch < c; ch++) {
    double mean = 0, var = 0;
    if (batch) {
      double n = static_cast<double>(valid / c);
      for (int64_t i = ch; i < valid; i += c) mean += x[i] / n;
      for (int64_t i = ch; i < valid; i += c) var += (x[i] - mean) * (x[i] - mean) / n;
      run.out(1).put(ch, mean);
      run.out(2).put(ch, 1 / std::sqrt(var + eps));
      update_running(run, ch, mean, n > 1 ? var * n / (n - 1) : var);
    } else {
      mean = run.in(RunningMean)[ch];
      var = run.in(RunningVar)[ch];
    }
    double rstd = 1 / std::sqrt(var + eps);
    for (int64_t i = ch; i < count; i += c) y.put(i, (x[i] - mean) * rstd * weight[ch] + bias[ch]);
  }
}

void backward(const Run& run) {
  int64_t c = run.out_shape()[-1], count = run.out_shape().count();
  double eps = run.number("eps");
  bool batch = run.request.batch_statistics;
  In x = run.in(X), weight = run.in(Weight), g = run.result_gradient();
  Gradient dx = run.gradient(X), dweight = run.gradient(Weight), dbias = run.gradient(Bias);
  int64_t valid = batch ? count / run.out_shape()[0] * run.valid_rows(run.out_shape()) : count;
  double n = static_cast<double>(valid / c);
  bool reads_x = dweight.wanted() || (batch && dx.wanted());
  for (int64_t ch = 0; ch < c; ch++) {
    double mean = 0, rstd = 0, sum_g = 0, sum_gx = 0;  // sum_gx: of g * normalised x
    if (reads_x) mean = batch ? run.saved(1)[ch] : run.in(RunningMean)[ch];
    if (reads_x || dx.wanted()) rstd = batch ? run.saved(2)[ch] : 1 / std::sqrt(run.in(RunningVar)[ch] + eps);
    for (int64_t i = ch; i < valid; i += c) {
      sum_g += g[i];
      if (reads_x) sum_gx += g[i] * (x[i] - mean) * rstd;
    }
    if (dx.wanted())
      for (int64_t i = ch; i < count; i += c) {
        double v = g[i];
        if (batch) v -= (sum_g + (x[i] - mean) * rstd * sum_gx) / n;
        dx.put(i, i < valid ? v * weight[ch] * rstd : 0);
      }
    dweight.put(ch, sum_gx);
    dbias.put(ch, sum_g);
  }
}

}  // namespace

void add_batch_norm() {
  OpDef def;
  def.name = "batch_norm";
  def.inputs = {{"x"}, {"weight", Role::Vector}, {"bias", Role::Vector}, {"running_mean", Role::Vector},
                {"running_var", Role::Vector}};
  // The planner sets batch_statistics together with Request::batch_statistics, so that backward_reads can see it.
  def.attributes = {{"eps", 1e-5}, {"momentum", 0.1}, {"batch_statistics"}};
  def.infer = infer;
  def.backward_reads = backward_reads;
  def.statistics = true;
  add_op(def, {forward, backward, nullptr, true});
}

}  // namespace graft::reference
