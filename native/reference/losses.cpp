// Losses: one number out of a batch, and the gradient of input 0 in the same pass (which may lie on input 0).
#include "losses.h"

namespace graft::reference {

void check_targets(const OpCall& call, const char* op, const TensorType& logits, size_t target_input, size_t class_weight) {
  const TensorType& target = call.inputs[target_input];
  Shape rows = logits.shape;
  rows.rank--;
  if (target.dtype == DType::I32)
    require(target.shape == rows, op, ": i32 targets must be ", rows.str(), " for logits ", logits.shape.str(), ", got ", target.shape.str());
  else
    require(is_float(target.dtype) && target.shape == logits.shape, op, ": target must be i32 ", rows.str(), " or f32 ", logits.shape.str(), ", got ",
            name_of(target.dtype), " ", target.shape.str());
  if (call.has(class_weight))
    require(call.inputs[class_weight].shape == Shape{logits.shape[-1]}, op, ": class_weight must be [", logits.shape[-1], "], got ",
            call.inputs[class_weight].shape.str());
  double smoothing = call.number("label_smoothing");
  require(smoothing >= 0 && smoothing <= 1, op, ": label_smoothing must lie in 0..1, got ", smoothing);
}

namespace {

enum { Logits, Target, ClassWeight };

std::vector<TensorType> cross_entropy_infer(const OpCall& call) {
  const TensorType& logits = call.inputs[Logits];
  require_float(call, Logits, "softmax_cross_entropy", "logits");
  require(logits.shape.rank >= 2, "softmax_cross_entropy: logits must be [rows..., classes], got ", logits.shape.str());
  check_targets(call, "softmax_cross_entropy", logits, Target, ClassWeight);
  return {{logits.dtype == DType::F64 ? DType::F64 : DType::F32, {1}}};
}

void cross_entropy(const Run& run) {
  const int64_t classes = run.in_shape(Logits)[-1], rows = run.in_shape(Logits).count() / classes;
  const In x = run.in(Logits);
  CrossEntropy ce(run, rows, classes, Target, ClassWeight);
  for (int64_t r = 0; r < rows; r++) {
    auto put = [&](int64_t k, double v) { ce.loss.gradient.put(r * classes + k, v); };
    if (ce.counts(r)) ce.add(r, x, r * classes, put);
    else for (int64_t k = 0; k < classes; k++) put(k, 0);
  }
  ce.finish();
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
