// softmax over the last axis, softmax_cross_entropy.
#include <cmath>
#include <limits>

#include "kernels.h"

namespace graft::cpu {
namespace {

enum { Logits, Target, ClassWeight };

struct CrossEntropy {
  int64_t rows, classes, rows_per_sample, ignore;
  bool soft, weighted, gradient;
  float smoothing;
  int loss_index;

  void run(const Args& a) const {
    const StepBlock& step = *a.step;
    Cut scratch(a.scratch);
    double* loss = scratch.take<double>(rows);
    float *factor = scratch.take<float>(rows), *correct = scratch.take<float>(rows);
    uint8_t* counts = scratch.take<uint8_t>(rows);
    const int32_t* labels = soft ? nullptr : static_cast<const int32_t*>(a.in[Target]);
    const float* weight = weighted ? static_cast<const float*>(a.in[ClassWeight]) : nullptr;
    double divisor = 0;
    bool invalid = false;
    for (int64_t r = 0; r < rows; r++) {
      double w = step.row_weight[r / rows_per_sample];
      bool inside = soft || (labels[r] >= 0 && labels[r] < classes), ignored = !soft && labels[r] == ignore;
      counts[r] = w != 0 && inside && !ignored;
      if (counts[r]) divisor += w * (!soft && weight ? weight[labels[r]] : 1);
      else if (w != 0 && !ignored) invalid = true;
    }
    if (step.header->normalizer > 0) divisor = step.header->normalizer;
    for (int64_t r = 0; r < rows; r++)
      factor[r] = static_cast<float>(static_cast<double>(step.loss_weight[loss_index]) * step.row_weight[r / rows_per_sample] / divisor);

    LossCall call{};
    call.rows = rows;
    call.columns = classes;
    call.logits = static_cast<const float*>(a.in[Logits]);
    call.gradient = gradient ? static_cast<float*>(a.din[Logits]) : nullptr;
    call.labels = labels;
    call.targets = soft ? static_cast<const float*>(a.in[Target]) : nullptr;
    call.class_weight = weight;
    call.counts = counts;
    call.row_factor = factor;
    call.smoothing = smoothing;
    call.loss = loss;
    call.correct = correct;
    simd().cross_entropy(call);

    double sum = 0, hits = 0;
    for (int64_t r = 0; r < rows; r++) {
      double w = step.row_weight[r / rows_per_sample];
      if (!counts[r]) continue;
      sum += w * loss[r];
      hits += w * correct[r];
    }
    float mean = invalid ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(sum / divisor);
    step.loss[loss_index] = mean;
    step.correct[loss_index] = static_cast<float>(hits);
    *static_cast<float*>(a.out[0]) = mean;
  }
};

}  // namespace

std::unique_ptr<Kernel> make_cross_entropy(const Request& r) {
  if (r.inputs[Logits].dtype != DType::F32 || mode_of(r, Logits) == GradMode::Accumulate) return nullptr;
  const DType target = r.inputs[Target].dtype;
  if (target != DType::I32 && target != DType::F32) return nullptr;
  CrossEntropy c{};
  c.classes = r.inputs[Logits].shape[-1];
  c.rows = r.inputs[Logits].count() / c.classes;
  c.rows_per_sample = c.rows / r.batch;
  c.ignore = r.call().integer("ignore_index");
  c.soft = target != DType::I32;
  c.weighted = r.call().has(ClassWeight);
  c.gradient = r.pass == Pass::Loss && wants(r, Logits);
  c.smoothing = static_cast<float>(r.call().number("label_smoothing"));
  c.loss_index = r.loss_index;
  size_t scratch = aligned(8 * c.rows) + 2 * aligned(4 * c.rows) + aligned(c.rows);
  return own("softmax_cross_entropy", scratch, [c](const Args& a) { c.run(a); });
}

std::unique_ptr<Kernel> make_softmax(const Request& r) {
  if (!storable(r.inputs[0].dtype) || r.outputs[0].dtype != r.inputs[0].dtype || r.epilogue.any() || mode_of(r, 0) == GradMode::Accumulate) return nullptr;
  const Store type = store_of(r.inputs[0].dtype);
  const int64_t n = r.inputs[0].shape[-1], rows = r.inputs[0].count() / n;
  const bool log = r.call().integer("log") != 0, second = r.second_gradient;
  if (r.pass == Pass::Forward) return own("softmax", 0, [=](const Args& a) { simd().softmax(type, log, a.in[0], a.out[0], rows, n); });
  return own("softmax", 0, [=](const Args& a) { simd().softmax_data(type, log, a.dout, second ? a.dout2 : nullptr, a.out[0], a.din[0], rows, n); });
}

}  // namespace graft::cpu
