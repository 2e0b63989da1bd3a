// Losses: one number out of a batch, and the gradient of input 0 in the same pass (which may lie on input 0).
//
// A row of weight 0 (padding) takes no part: its values are not read and its gradient is zero. The mean divides by what the
// counted rows weigh, or by the header's normalizer where that is above 0. The loss itself goes to out[0] and the step
// block without loss_weight; the gradient has it. Where nothing counts and no normalizer is set the loss is NaN, as PyTorch's.
#include <cmath>
#include <limits>

#include "reference.h"

namespace graft::reference {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

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

// softmax_cross_entropy, as PyTorch's cross_entropy(reduction='mean') with weights of rows on top.
// Class targets: loss of a row = (1 - s) w[t] nll(t) + s / K * sum over k of w[k] nll(k), s the label smoothing; the mean
// divides by the sum of row weight * w[t]. Soft targets: sum over k of w[k] q[k] nll(k), q = (1 - s) target + s / K; the mean
// divides by the sum of row weights. Rows whose target is ignore_index do not count. A target outside [0, K) makes the loss
// NaN, which halts the training; the gradient of its row is zero.

enum { Logits, Target, ClassWeight };

std::vector<TensorType> cross_entropy_infer(const OpCall& call) {
  const TensorType &logits = call.inputs[Logits], &target = call.inputs[Target];
  require_float(call, Logits, "softmax_cross_entropy", "logits");
  require(logits.shape.rank >= 2, "softmax_cross_entropy: logits must be [rows..., classes], got ", logits.shape.str());
  Shape rows = logits.shape;
  rows.rank--;
  if (target.dtype == DType::I32)
    require(target.shape == rows, "softmax_cross_entropy: i32 targets must be ", rows.str(), " for logits ",
            logits.shape.str(), ", got ", target.shape.str());
  else
    require(is_float(target.dtype) && target.shape == logits.shape, "softmax_cross_entropy: target must be i32 ", rows.str(),
            " or f32 ", logits.shape.str(), ", got ", name_of(target.dtype), " ", target.shape.str());
  if (call.has(ClassWeight))
    require(call.inputs[ClassWeight].shape == Shape{logits.shape[-1]}, "softmax_cross_entropy: class_weight must be [",
            logits.shape[-1], "], got ", call.inputs[ClassWeight].shape.str());
  double smoothing = call.number("label_smoothing");
  require(smoothing >= 0 && smoothing <= 1, "softmax_cross_entropy: label_smoothing must lie in 0..1, got ", smoothing);
  return {{logits.dtype == DType::F64 ? DType::F64 : DType::F32, {1}}};
}

struct CrossEntropy {
  explicit CrossEntropy(const Run& run)
      : classes(run.in_shape(Logits)[-1]), rows(run.in_shape(Logits).count() / classes), x(run.in(Logits)),
        target(run.in(Target)), weight(run.in(ClassWeight)), soft(target.type != DType::I32),
        smoothing(run.number("label_smoothing")), ignore(run.integer("ignore_index")) {}

  int64_t classes, rows;
  In x, target, weight;
  bool soft;
  double smoothing;
  int64_t ignore;

  double class_weight(int64_t k) const { return weight ? weight[k] : 1; }
  int64_t label(int64_t row) const { return static_cast<int64_t>(target[row]); }
  bool valid(int64_t row) const { return soft || (label(row) >= 0 && label(row) < classes); }
  bool ignored(int64_t row) const { return !soft && label(row) == ignore; }
  // What a counted row adds to the divisor of the mean, before its row weight.
  double share(int64_t row) const { return soft ? 1 : class_weight(label(row)); }
  // Weight of -log p[k] in the row's loss.
  double share(int64_t row, int64_t k) const {
    double hard = soft ? target[row * classes + k] : k == label(row) ? 1 : 0;
    return class_weight(k) * ((1 - smoothing) * hard + smoothing / static_cast<double>(classes));
  }
  int64_t largest(const In& values, int64_t row) const {
    int64_t best = 0;
    for (int64_t k = 1; k < classes; k++)
      if (values[row * classes + k] > values[row * classes + best]) best = k;
    return best;
  }
};

void cross_entropy(const Run& run) {
  CrossEntropy ce(run);
  LossRun loss(run, ce.rows);
  double divisor = 0, sum = 0, correct = 0;
  bool invalid = false;
  auto counts = [&](int64_t row) { return loss.row_weight(row) != 0 && !ce.ignored(row) && ce.valid(row); };
  for (int64_t r = 0; r < ce.rows; r++) {
    if (counts(r)) divisor += loss.row_weight(r) * ce.share(r);
    else if (loss.row_weight(r) != 0 && !ce.ignored(r)) invalid = true;
  }
  if (loss.normalizer() > 0) divisor = loss.normalizer();
  for (int64_t r = 0; r < ce.rows; r++) {
    if (!counts(r)) {
      for (int64_t k = 0; k < ce.classes; k++) loss.gradient.put(r * ce.classes + k, 0);
      continue;
    }
    int64_t best = ce.largest(ce.x, r);
    if (best == (ce.soft ? ce.largest(ce.target, r) : ce.label(r))) correct += loss.row_weight(r);
    double max = ce.x[r * ce.classes + best], exponentials = 0, shares = 0;
    for (int64_t k = 0; k < ce.classes; k++) {
      exponentials += std::exp(ce.x[r * ce.classes + k] - max);
      shares += ce.share(r, k);
    }
    double log_sum = max + std::log(exponentials);
    double factor = loss.loss_weight() * loss.row_weight(r) / divisor;
    for (int64_t k = 0; k < ce.classes; k++) {
      double log_p = ce.x[r * ce.classes + k] - log_sum, share = ce.share(r, k);
      if (share != 0) sum -= loss.row_weight(r) * share * log_p;
      loss.gradient.put(r * ce.classes + k, factor * (std::exp(log_p) * shares - share));
    }
  }
  loss.finish(invalid ? kNaN : sum / divisor, correct);
}

// The losses of single elements: the mean of f(x, t) over the elements of the counted rows; a row is a sample.

std::vector<TensorType> elementwise_infer(const OpCall& call, const char* op) {
  const TensorType &x = call.inputs[0], &target = call.inputs[1];
  require_float(call, 0, op, "x");
  require_float(call, 1, op, "target");
  require(x.shape.rank >= 1, op, ": x must be [batch, ...]");
  require(x.shape == target.shape, op, ": target must be as x ", x.shape.str(), ", got ", target.shape.str());
  return {{x.dtype == DType::F64 ? DType::F64 : DType::F32, {1}}};
}

// f(x, t) gives {value, derivative by x}.
template <class Function>
void elementwise(const Run& run, Function f) {
  int64_t rows = run.request.batch, per_row = run.in_shape(0).count() / rows;
  LossRun loss(run, rows);
  In x = run.in(0), target = run.in(1);
  double divisor = 0, sum = 0;
  for (int64_t r = 0; r < rows; r++) divisor += loss.row_weight(r);
  if (loss.normalizer() > 0) divisor = loss.normalizer();
  divisor *= static_cast<double>(per_row);
  for (int64_t r = 0; r < rows; r++) {
    double weight = loss.row_weight(r), factor = loss.loss_weight() * weight / divisor;
    for (int64_t i = r * per_row; i < (r + 1) * per_row; i++) {
      std::pair<double, double> v = weight != 0 ? f(x[i], target[i]) : std::pair<double, double>{0, 0};
      sum += weight * v.first;
      loss.gradient.put(i, weight != 0 ? factor * v.second : 0);
    }
  }
  loss.finish(sum / divisor, 0);
}

void bce_with_logits(const Run& run) {
  elementwise(run, [](double x, double t) {
    double log_term = std::log1p(std::exp(-std::fabs(x)));  // no overflow on either side
    return std::pair{std::max(x, 0.0) - x * t + log_term, 1 / (1 + std::exp(-x)) - t};
  });
}

void mse(const Run& run) {
  elementwise(run, [](double x, double t) { return std::pair{(x - t) * (x - t), 2 * (x - t)}; });
}

void mae(const Run& run) {
  elementwise(run, [](double x, double t) { return std::pair{std::fabs(x - t), x > t ? 1.0 : x < t ? -1.0 : 0.0}; });
}

void add(const char* name, std::vector<InputDef> inputs, std::vector<AttributeDef> attributes,
         std::vector<TensorType> (*infer)(const OpCall&), void (*run)(const Run&)) {
  OpDef def;
  def.name = name;
  def.inputs = std::move(inputs);
  def.attributes = std::move(attributes);
  def.infer = infer;
  def.backward_reads = reads_nothing;
  def.loss = true;
  add_op(def, {run, nullptr});
}

}  // namespace

void add_losses() {
  add("softmax_cross_entropy",
      {{"logits", Role::Full}, {"target", Role::Exact}, {"class_weight", Role::Vector, true}},
      {{"label_smoothing"}, {"ignore_index", -100}}, cross_entropy_infer, cross_entropy);
  add("bce_with_logits", {{"logits", Role::Full}, {"target", Role::Exact}}, {},
      [](const OpCall& call) { return elementwise_infer(call, "bce_with_logits"); }, bce_with_logits);
  add("mse", {{"x", Role::Full}, {"target", Role::Exact}}, {},
      [](const OpCall& call) { return elementwise_infer(call, "mse"); }, mse);
  add("mae", {{"x", Role::Full}, {"target", Role::Exact}}, {},
      [](const OpCall& call) { return elementwise_infer(call, "mae"); }, mae);
}

}  // namespace graft::reference
