// Softmax cross-entropy on the caller's memory.
#include "direct_call.h"

namespace graft {

void Direct::cross_entropy(const CrossEntropyCall& call, int64_t stream) {
  computes(call.logits.type);
  positive("rows", call.rows);
  positive("classes", call.classes);
  const int64_t count = product_of("logits", call.rows, call.classes);
  require(call.smoothing >= 0 && call.smoothing <= 1, "label smoothing is ", call.smoothing, "; expected 0 to 1");
  finite("factor", call.factor);
  at_least_zero("normalizer", call.normalizer);
  const bool soft = call.target.type == DType::F32, weighted = call.class_weight.given(), wanted = call.gradient.given();
  call.logits.holds(count);
  call.target.holds(soft ? count : call.rows);
  if (weighted) call.class_weight.holds(call.classes);
  if (wanted) {
    call.gradient.holds(count).apart_from(call.target).apart_from(call.class_weight);
    if (!call.gradient.same_as(call.logits)) call.gradient.apart_from(call.logits);
  }
  call.results.holds(2);
  for (const Region* other : {&call.logits, &call.target, &call.class_weight, &call.gradient}) call.results.apart_from(*other);
  reach(stream, {&call.logits, &call.target, &call.class_weight, &call.gradient, &call.results});
  if (!soft) check_numbers("label of row", call.target, call.rows, 0, call.classes - 1, call.ignored);

  const KernelCache::Key key{static_cast<int64_t>(Family::CrossEntropy), call.rows, call.classes, call.ignored, bits(call.smoothing), soft, weighted, wanted,
                             static_cast<int64_t>(call.logits.type)};
  auto prepare = [&] {
    Request r;
    r.op = find_op("softmax_cross_entropy");
    r.node = r.op->name;
    r.pass = Pass::Loss;
    r.attributes = {{"label_smoothing", call.smoothing}, {"ignore_index", static_cast<double>(call.ignored)}};
    TensorType none;
    none.shape.rank = -1;
    const Shape shape{call.rows, call.classes};
    r.inputs = {{call.logits.type, shape}, soft ? TensorType{DType::F32, shape} : TensorType{DType::I32, {call.rows}}, weighted ? TensorType{DType::F32, {call.classes}} : none};
    r.outputs = r.op->infer(r.call());
    r.constant.assign(3, false);
    r.modes = {wanted ? GradMode::Overwrite : GradMode::Ignore, GradMode::Ignore, GradMode::Ignore};
    r.preferred.resize(3);
    r.batch = 1;  // all rows are one sample's: their weights are 1
    return column_.prepare(r);
  };
  Numbers numbers;
  numbers.block.loss_weight[0] = static_cast<float>(call.factor);
  numbers.block.header->normalizer = static_cast<float>(call.normalizer);
  void *in[] = {call.logits.at(), call.target.at(), weighted ? call.class_weight.at() : nullptr};
  void *din[] = {wanted ? call.gradient.at() : nullptr, nullptr, nullptr};
  Args args{};
  args.in = in;
  args.din = din;
  numbers.extra = Numbers::Extra::Result;
  numbers.loss = static_cast<float*>(call.results.at());
  numbers.correct = numbers.loss + 1;
  run(key, count <= kSmallElements, prepare, args, numbers, stream);
}

}  // namespace graft
