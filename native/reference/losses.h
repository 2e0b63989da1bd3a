// What the losses share: the mean over the rows that count, and softmax cross-entropy row by row.
//
// A row of weight 0 (padding) takes no part: its values are not read and its gradient is zero. The mean divides by what the
// counted rows weigh, or by the header's normalizer where that is above 0. The loss itself goes to out[0] and the step
// block without loss_weight; the gradient has it. Where nothing counts and no normalizer is set the loss is NaN, as PyTorch's.
#pragma once
#include <cmath>
#include <limits>

#include "reference.h"

namespace graft::reference {

// One loss over rows of equal length; row r belongs to sample r / rows_per_sample.
class LossRun {
 public:
  LossRun(const Run& run, int64_t rows) : run_(run), step_(*run.args.step), rows_per_sample_(rows / run.request.batch) {
    ensure(rows % run.request.batch == 0, run.request.op->name, ": ", rows, " rows for a batch of ", run.request.batch);
    if (run.request.pass == Pass::Loss && !run.request.modes.empty()) gradient = run.gradient(0);
  }
  double row_weight(int64_t row) const { return step_.row_weight[row / rows_per_sample_]; }
  double normalizer() const { return step_.header->normalizer; }
  double loss_weight() const { return step_.loss_weight[run_.request.loss_index]; }
  void finish(double loss, double correct) const {
    step_.loss[run_.request.loss_index] = static_cast<float>(loss);
    step_.correct[run_.request.loss_index] = static_cast<float>(correct);
    run_.out(0).put(0, loss);
  }
  Gradient gradient;

 private:
  const Run& run_;
  const StepBlock& step_;
  int64_t rows_per_sample_;
};

// softmax cross-entropy, as PyTorch's cross_entropy(reduction='mean') with weights of rows on top.
// Class targets: loss of a row = (1 - s) w[t] nll(t) + s / K * sum over k of w[k] nll(k), s the label smoothing; the mean
// divides by the sum of row weight * w[t]. Soft targets: sum over k of w[k] q[k] nll(k), q = (1 - s) target + s / K; the mean
// divides by the sum of row weights. Rows whose target is ignore_index do not count. A target outside [0, K) makes the loss
// NaN, which halts the training; the gradient of its row is zero.
class CrossEntropy {
 public:
  // `target` and `class_weight` are the numbers of these inputs.
  CrossEntropy(const Run& run, int64_t rows, int64_t classes, size_t target, size_t class_weight)
      : loss(run, rows), classes_(classes), target_(run.in(target)), weight_(run.in(class_weight)), soft_(target_.type != DType::I32),
        smoothing_(run.number("label_smoothing")), ignore_(run.integer("ignore_index")) {
    for (int64_t r = 0; r < rows; r++) {
      if (counts(r)) divisor_ += loss.row_weight(r) * (soft_ ? 1 : class_weight_of(label(r)));
      else if (loss.row_weight(r) != 0 && !ignored(r)) invalid_ = true;
    }
    if (loss.normalizer() > 0) divisor_ = loss.normalizer();
  }

  bool counts(int64_t row) const { return loss.row_weight(row) != 0 && !ignored(row) && (soft_ || (label(row) >= 0 && label(row) < classes_)); }

  // A row that counts, whose logits begin at x[at]; put(k, gradient) is called once for each class, after x[at + k] was read last.
  template <class Put>
  void add(int64_t row, const In& x, int64_t at, const Put& put) {
    const int64_t best = largest(x, at);
    if (best == (soft_ ? largest(target_, row * classes_) : label(row))) correct_ += loss.row_weight(row);
    double max = x[at + best], exponentials = 0, shares = 0;
    for (int64_t k = 0; k < classes_; k++) {
      exponentials += std::exp(x[at + k] - max);
      shares += share(row, k);
    }
    const double log_sum = max + std::log(exponentials), factor = loss.loss_weight() * loss.row_weight(row) / divisor_;
    for (int64_t k = 0; k < classes_; k++) {
      const double log_p = x[at + k] - log_sum, part = share(row, k);
      if (part != 0) sum_ -= loss.row_weight(row) * part * log_p;
      put(k, factor * (std::exp(log_p) * shares - part));
    }
  }
  void finish() const { loss.finish(invalid_ ? std::numeric_limits<double>::quiet_NaN() : sum_ / divisor_, correct_); }

  LossRun loss;

 private:
  double class_weight_of(int64_t k) const { return weight_ ? weight_[k] : 1; }
  int64_t label(int64_t row) const { return static_cast<int64_t>(target_[row]); }
  bool ignored(int64_t row) const { return !soft_ && label(row) == ignore_; }
  // Weight of -log p[k] in the row's loss.
  double share(int64_t row, int64_t k) const {
    double hard = soft_ ? target_[row * classes_ + k] : k == label(row) ? 1 : 0;
    return class_weight_of(k) * ((1 - smoothing_) * hard + smoothing_ / static_cast<double>(classes_));
  }
  int64_t largest(const In& values, int64_t at) const {
    int64_t best = 0;
    for (int64_t k = 1; k < classes_; k++)
      if (values[at + k] > values[at + best]) best = k;
    return best;
  }

  int64_t classes_;
  In target_, weight_;
  bool soft_;
  double smoothing_;
  int64_t ignore_;
  double divisor_ = 0, sum_ = 0, correct_ = 0;
  bool invalid_ = false;
};

// The shape rule of both: `logits` has a row of classes for each target.
void check_targets(const OpCall& call, const char* op, const TensorType& logits, size_t target, size_t class_weight);

}  // namespace graft::reference
