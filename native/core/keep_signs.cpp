// Signs: a result that the backward pass reads only to know where its activation's slope is 1 is kept as a bit an element
// (Service::Signs), written behind the step that made it. So the backward through frozen norms and frozen convolutions, whose own
// gradients read no activations, needs a 32nd of them in F32 and a 16th in bf16.
#include "passes.h"

namespace graft {
namespace {

class SignKeeper {
 public:
  explicit SignKeeper(Draft& draft) : d_(draft), writer_(draft.values.size(), -1), readers_(draft.values.size()), viewed_(draft.values.size()) {
    for (size_t i = 0; i < d_.steps.size(); i++) {
      d_.steps[i].each_write([&](int v) { writer_[v] = static_cast<int>(i); });
      d_.steps[i].each_read([&](int v) { readers_[v].push_back(static_cast<int>(i)); });
    }
    for (const DraftValue& v : d_.values)
      if (v.alias >= 0) viewed_[d_.root(v.alias)] = true;
  }

  void run() {
    std::vector<int> signs_behind(d_.steps.size(), -1);  // per step: the norm's backward that reads signs of its result
    for (size_t i = 0; i < d_.steps.size(); i++)
      if (const int w = writer_for_signs(i); w >= 0) signs_behind[w] = static_cast<int>(i);
    std::vector<DraftStep> made(d_.steps.size());  // norms' steps are changed before they move
    for (size_t w = 0; w < d_.steps.size(); w++)
      if (signs_behind[w] >= 0) made[w] = signs_for(d_.steps[signs_behind[w]]);
    std::vector<DraftStep> steps;
    for (size_t i = 0; i < d_.steps.size(); i++) {
      steps.push_back(std::move(d_.steps[i]));
      if (signs_behind[i] >= 0) steps.push_back(std::move(made[i]));
    }
    d_.steps = std::move(steps);
  }

 private:
  // The forward step that writes what the norm's backward `i` would read for its signs alone, or -1 where it is kept in any case.
  int writer_for_signs(size_t i) const {
    const DraftStep& norm = d_.steps[i];
    const int y = norm.activated;
    if (y < 0 || !sign_activation(norm.request.epilogue.activation)) return -1;
    const DraftValue& value = d_.values[y];
    if (value.kind != DraftValue::Kind::Arena || value.keep || value.alias >= 0 || viewed_[y]) return -1;
    for (int r : readers_[y])
      if (r != static_cast<int>(i) && d_.steps[r].phase != kForward) return -1;
    return writer_[y] >= 0 && d_.steps[writer_[y]].phase == kForward ? writer_[y] : -1;
  }

  // Lets the norm read signs, and gives the step that makes them.
  DraftStep signs_for(DraftStep& norm) {
    const DraftValue y = d_.values[norm.activated];
    DraftValue signs;
    signs.type = {DType::U8, Shape{sign_bytes(y.type.count())}};
    signs.name = "signs:" + y.name;
    DraftStep s;
    s.kind = DraftStep::Kind::Service;
    s.node = y.name;
    s.service.service = Service::Signs;
    s.service.inputs = {y.type};
    s.service.outputs = {signs.type};
    if (norm.request.epilogue.activation == Activation::Relu6) s.service.attributes["below"] = 6;
    s.in = {norm.activated};
    s.out = {d_.add(std::move(signs))};
    norm.activated = s.out[0];
    norm.request.signs = true;
    return s;
  }

  Draft& d_;
  std::vector<int> writer_;
  std::vector<std::vector<int>> readers_;
  std::vector<bool> viewed_;
};

}  // namespace

void keep_signs(Draft& draft) { SignKeeper(draft).run(); }

}  // namespace graft
