// linear_cross_entropy: linear and the softmax cross-entropy of its result as one operation, for so many classes that the logits of all
// rows would be the largest tensor of a step. They exist for a run of rows at a time, in scratch memory; what depends on them (loss,
// hits, gradients of x, weight and bias) is taken from there before the next rows' come.
//   logits[r, k] = sum over c of x[r, c] w[k, c] + b[k], rounded to x's type, as linear's are; their gradient is rounded to it too
//   dx = g w, dw = g' x, db = sums of g's columns, g the gradient of the logits as of softmax_cross_entropy
// The gradient of x may lie on x. `logits_bytes` bounds the scratch memory for logits and does not change what is computed, but in the
// order of dw's sums; a row of logits always fits.
#include <algorithm>

#include "losses.h"

namespace graft::reference {
namespace {

enum { X, Weight, Bias, Target, ClassWeight };
constexpr const char* kName = "linear_cross_entropy";

TensorType logits_of(const OpCall& call) {
  TensorType logits = call.inputs[X];
  logits.shape[-1] = call.inputs[Weight].shape[0];
  return logits;
}

std::vector<TensorType> infer(const OpCall& call) {
  const Shape &x = call.inputs[X].shape, &w = call.inputs[Weight].shape;
  require_float(call, X, kName, "x");
  require(x.rank >= 2, kName, ": x must be [rows..., features], got ", x.str());
  require(w.rank == 2, kName, ": weight must be [classes, features], got ", w.str());
  require(x[-1] == w[1], kName, ": x ", x.str(), " has ", x[-1], " features, weight ", w.str(), " expects ", w[1]);
  if (call.has(Bias)) require(call.inputs[Bias].shape == Shape{w[0]}, kName, ": bias must be [", w[0], "], got ", call.inputs[Bias].shape.str());
  check_targets(call, kName, logits_of(call), Target, ClassWeight);
  require(call.integer("logits_bytes") >= 1, kName, ": logits_bytes must be at least 1, got ", call.integer("logits_bytes"));
  return {{call.inputs[X].dtype == DType::F64 ? DType::F64 : DType::F32, {1}}};
}

OpDef::Reads reads(const OpCall& call, const std::vector<bool>&) {
  return {std::vector<bool>(call.inputs.size(), true), {false}};
}

// A row of logits in x's type, a row of x, and what the parameters' gradients add up to.
size_t sums(const Request& r) {
  const int64_t classes = r.inputs[Weight].shape[0], features = r.inputs[Weight].shape[1];
  return static_cast<size_t>(classes + features + (r.pass == Pass::Loss ? classes * features + classes : 0));
}

void run_loss(const Run& run) {
  const int64_t classes = run.in_shape(Weight)[0], features = run.in_shape(Weight)[1], rows = run.in_shape(X).count() / features;
  const In x = run.in(X), w = run.in(Weight), b = run.in(Bias);
  const bool backward = run.request.pass == Pass::Loss && !run.request.modes.empty();
  const Gradient dx = backward ? run.gradient(X) : Gradient{}, dw = backward ? run.gradient(Weight) : Gradient{}, db = backward ? run.gradient(Bias) : Gradient{};
  double *row = run.sums(), *features_of_row = row + classes, *sum_w = features_of_row + features, *sum_b = sum_w + classes * features;
  const Out logits{row, x.type};
  if (dw.wanted()) std::fill(sum_w, sum_w + classes * features, 0.0);
  if (db.wanted()) std::fill(sum_b, sum_b + classes, 0.0);
  CrossEntropy ce(run, rows, classes, Target, ClassWeight);
  for (int64_t r = 0; r < rows; r++) {
    if (!ce.counts(r)) {
      for (int64_t c = 0; c < features; c++) dx.put(r * features + c, 0);
      continue;
    }
    for (int64_t c = 0; c < features; c++) features_of_row[c] = x[r * features + c];
    for (int64_t k = 0; k < classes; k++) {
      double sum = b ? b[k] : 0;
      for (int64_t c = 0; c < features; c++) sum += features_of_row[c] * w[k * features + c];
      logits.put(k, sum);
    }
    ce.add(r, In{row, x.type}, 0, [&](int64_t k, double g) { logits.put(k, g); });
    for (int64_t k = 0; k < classes; k++) {
      if (db.wanted()) sum_b[k] += logits[k];
      for (int64_t c = 0; dw.wanted() && c < features; c++) sum_w[k * features + c] += logits[k] * features_of_row[c];
    }
    for (int64_t c = 0; dx.wanted() && c < features; c++) {
      double sum = 0;
      for (int64_t k = 0; k < classes; k++) sum += logits[k] * w[k * features + c];
      dx.put(r * features + c, sum);
    }
  }
  for (int64_t i = 0; dw.wanted() && i < classes * features; i++) dw.put(i, sum_w[i]);
  for (int64_t k = 0; db.wanted() && k < classes; k++) db.put(k, sum_b[k]);
  ce.finish();
}

}  // namespace

void add_linear_cross_entropy() {
  OpDef def;
  def.name = kName;
  def.inputs = {{"x"}, {"weight", Role::Weight}, {"bias", Role::Vector, true}, {"target", Role::Exact}, {"class_weight", Role::Vector, true}};
  // 128 MiB are 128 rows of 262,144 classes in F32 and 667 of 50,257: enough that the products of a run of rows are not held up by
  // reading the weight and adding to its gradient.
  def.attributes = {{"label_smoothing"}, {"ignore_index", -100}, {"logits_bytes", 128 << 20}};
  def.infer = infer;
  def.backward_reads = reads;
  def.loss = true;
  def.differentiable = 3;
  add_op(def, {run_loss, nullptr, sums});
}

}  // namespace graft::reference
