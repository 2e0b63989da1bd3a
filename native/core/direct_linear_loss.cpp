// A linear layer and softmax cross-entropy of its result, with all gradients, on the caller's memory.
#include "direct_call.h"

namespace graft {
namespace {

enum { X, Weight, Bias, Target, ClassWeight, Inputs };

Request request_of(const LinearCrossEntropyCall& call) {
  TensorType none;
  none.shape.rank = -1;
  const CrossEntropyCall& loss = call.loss;
  Request r;
  r.op = find_op("linear_cross_entropy");
  r.node = r.op->name;
  r.pass = Pass::Loss;
  for (const AttributeDef& a : r.op->attributes) r.attributes[a.name] = a.fallback;
  r.attributes["label_smoothing"] = loss.smoothing;
  r.attributes["ignore_index"] = static_cast<double>(loss.ignored);
  if (call.logits_bytes > 0) r.attributes["logits_bytes"] = static_cast<double>(call.logits_bytes);
  r.inputs.assign(Inputs, none);
  r.inputs[X] = {call.type, {loss.rows, call.features}};
  r.inputs[Weight] = {call.type, {loss.classes, call.features}};
  if (call.bias.given()) r.inputs[Bias] = {DType::F32, {loss.classes}};
  r.inputs[Target] = loss.target.type == DType::F32 ? TensorType{DType::F32, {loss.rows, loss.classes}} : TensorType{DType::I32, {loss.rows}};
  if (loss.class_weight.given()) r.inputs[ClassWeight] = {DType::F32, {loss.classes}};
  r.outputs = r.op->infer(r.call());
  r.constant.assign(Inputs, false);
  r.modes.assign(Inputs, GradMode::Ignore);
  const GradMode mode = call.accumulate ? GradMode::Accumulate : GradMode::Overwrite;
  if (call.dx.given()) r.modes[X] = GradMode::Overwrite;
  if (call.dweight.given()) r.modes[Weight] = mode;
  if (call.dbias.given()) r.modes[Bias] = mode;
  r.preferred.resize(Inputs);
  r.weights_may_pack = false;  // the caller's weight is plain
  r.compute = call.type;
  r.batch = 1;  // all rows are one sample's: their weights are 1
  return r;
}

// Every operand holds enough, and what is written is no part of another, but dx may be x. Returns the operands.
std::vector<const Region*> check(const LinearCrossEntropyCall& call, const Request& r) {
  const CrossEntropyCall& loss = call.loss;
  std::vector<const Region*> read, written;
  auto add = [](std::vector<const Region*>& to, const Region& x, int64_t count) { to.push_back(&x.holds(count)); };
  add(read, call.x, r.inputs[X].count());
  add(read, call.weight, r.inputs[Weight].count());
  if (call.bias.given()) add(read, call.bias, loss.classes);
  add(read, loss.target, r.inputs[Target].count());
  if (loss.class_weight.given()) add(read, loss.class_weight, loss.classes);
  require(call.bias.given() || !call.dbias.given(), "dbias is given, but there is no bias");
  if (call.dx.given()) add(written, call.dx, r.inputs[X].count());
  if (call.dweight.given()) add(written, call.dweight, r.inputs[Weight].count());
  if (call.dbias.given()) add(written, call.dbias, loss.classes);
  add(written, loss.results, 2);
  for (size_t i = 0; i < written.size(); i++) {
    for (const Region* other : read)
      if (written[i] != &call.dx || other != &call.x || !call.dx.same_as(call.x)) written[i]->apart_from(*other);
    for (size_t j = 0; j < i; j++) written[i]->apart_from(*written[j]);
  }
  read.insert(read.end(), written.begin(), written.end());
  return read;
}

}  // namespace

void Direct::linear_cross_entropy(const LinearCrossEntropyCall& call, int64_t stream) {
  const CrossEntropyCall& loss = call.loss;
  computes(call.type);
  for (auto [name, size] : {std::pair{"rows", loss.rows}, {"features", call.features}, {"classes", loss.classes}}) positive(name, size);
  product_of("x", loss.rows, call.features);
  const int64_t weights = product_of("weight", loss.classes, call.features), logits = product_of("logits", loss.rows, loss.classes);
  require(loss.smoothing >= 0 && loss.smoothing <= 1, "label smoothing is ", loss.smoothing, "; expected 0 to 1");
  require(call.logits_bytes >= 0 && call.logits_bytes <= kMostElements, "logits_bytes are ", call.logits_bytes, "; expected 0 to 2^40");
  finite("factor", loss.factor);
  at_least_zero("normalizer", loss.normalizer);
  const Request r = request_of(call);
  reach(stream, check(call, r));
  const bool soft = loss.target.type == DType::F32;
  if (!soft) check_numbers("label of row", loss.target, loss.rows, 0, loss.classes - 1, loss.ignored);

  const double flops = 2.0 * static_cast<double>(logits) * static_cast<double>(call.features);
  const bool small = flops <= static_cast<double>(kSmallFlops) && weights <= kSmallElements;
  KernelCache::Key key{static_cast<int64_t>(Family::LinearCrossEntropy), loss.rows, call.features, loss.classes, loss.ignored, bits(loss.smoothing), call.logits_bytes,
                       soft, call.bias.given(), loss.class_weight.given(), static_cast<int64_t>(call.type), small};
  for (GradMode mode : r.modes) key.push_back(static_cast<int64_t>(mode));
  Numbers numbers;
  numbers.block.loss_weight[0] = static_cast<float>(loss.factor);
  numbers.block.header->normalizer = static_cast<float>(loss.normalizer);
  void *in[Inputs] = {call.x.at(), call.weight.at(), call.bias.at(), loss.target.at(), loss.class_weight.at()};
  void *din[Inputs] = {call.dx.at(), call.dweight.at(), call.dbias.at(), nullptr, nullptr};
  Args args{};
  args.in = in;
  args.din = din;
  numbers.extra = Numbers::Extra::Result;
  numbers.loss = static_cast<float*>(loss.results.at());
  numbers.correct = numbers.loss + 1;
  run(key, small, [&] { return column_.prepare(r); }, args, numbers, stream);
}

}  // namespace graft
