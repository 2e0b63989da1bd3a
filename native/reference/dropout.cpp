// dropout: element i of a sample survives where uniform(key(seed, node), sample id, visit, i) >= rate and is scaled by
// 1 / (1 - rate). With per_sample the number of element 0 decides for the whole sample: stochastic depth (Huang et al. 2016).
// Nothing is saved: backward draws the same numbers again. `active` is set by the planner, 0 in eval plans.
#include "philox.h"
#include "reference.h"

namespace graft::reference {
namespace {

std::vector<TensorType> infer(const OpCall& call) {
  require_float(call, 0, "dropout", "x");
  double rate = call.number("rate");
  require(rate >= 0 && rate <= 1, "dropout: rate must lie in 0..1, got ", rate);
  const int64_t whole = call.integer("per_sample");
  require(whole == 0 || whole == 1, "dropout: per_sample must be 0 or 1, got ", whole);
  return {call.inputs[0]};
}

// What an element is multiplied by.
struct Mask {
  explicit Mask(const Run& run)
      : active(run.integer("active") != 0), whole(run.integer("per_sample") != 0), rate(run.number("rate")), step(*run.args.step),
        per_sample(run.out_shape().count() / run.request.batch), key(philox::key(step.header->seed, run.request.node)) {}
  double operator()(int64_t i) const {
    if (!active) return 1;
    const int64_t number = whole ? 0 : i % per_sample;
    bool survives = philox::uniform(key, step.row_id[i / per_sample], step.header->visit, number) >= static_cast<float>(rate);
    return survives ? 1 / (1 - rate) : 0;
  }
  bool active, whole;
  double rate;
  const StepBlock& step;
  int64_t per_sample;
  uint64_t key;
};

void forward(const Run& run) {
  Mask mask(run);
  In x = run.in(0);
  for (int64_t i = 0; i < run.out_shape().count(); i++) {
    double m = mask(i);
    run.out(0).put(i, m == 0 ? 0 : m * x[i]);
  }
}

void backward(const Run& run) {
  Mask mask(run);
  In g = run.result_gradient();
  for (int64_t i = 0; i < run.out_shape().count(); i++) run.gradient(0).put(i, mask(i) * g[i]);
}

}  // namespace

void add_dropout() {
  OpDef def;
  def.name = "dropout";
  def.inputs = {{"x"}};
  def.attributes = {{"rate", 0, true}, {"per_sample"}, {"active"}};
  def.infer = infer;
  def.backward_reads = reads_nothing;
  def.pointwise = true;
  add_op(def, {forward, backward});
}

}  // namespace graft::reference
