// Fusing: neighbouring steps become one where the column offers it. A step whose only reader is a residual add or an activation
// stores that reader's result; a frozen batch norm behind a frozen convolution goes into its weight; the backward of an
// activation goes into the backward of the batch norm before it, with the sum of two gradients in front; a result that only this
// backward would read again is not kept for it.
#include <algorithm>

#include "passes.h"

namespace graft {
namespace {

class Fuser {
 public:
  explicit Fuser(Draft& draft) : d_(draft) {}

  void run() {
    count();
    if (d_.options.fold)
      for (size_t i = 0; i < d_.steps.size(); i++) fold_norm(i);
    if (!d_.options.fuse) return;
    // Residuals first, so that an activation behind the add joins as well; the producer nearest to the add is taken.
    for (size_t i = d_.steps.size(); i-- > 0;) fuse_residual(i);
    for (size_t i = 0; i < d_.steps.size(); i++) fuse_activation(i);
    for (size_t i = 0; i < d_.steps.size(); i++) fuse_second_gradient(i);
    for (size_t i = 0; i < d_.steps.size(); i++) fuse_activation_backward(i);
    for (size_t i = 0; i < d_.steps.size(); i++) fuse_second_gradient(i);
    for (size_t i = 0; i < d_.steps.size(); i++) recompute_result(i);
  }

 private:
  void count() {
    readers_.assign(d_.values.size(), {});
    writer_.assign(d_.values.size(), -1);
    viewed_.assign(d_.values.size(), false);
    for (size_t i = 0; i < d_.steps.size(); i++) {
      if (d_.steps[i].removed) continue;
      d_.steps[i].each_read([&](int v) { readers_[v].push_back(static_cast<int>(i)); });
      d_.steps[i].each_write([&](int v) { writer_[v] = static_cast<int>(i); });
    }
    for (const auto& v : d_.values)
      if (v.alias >= 0) viewed_[v.alias] = true;
  }

  bool forward_of(const DraftStep& s, const char* op) const {
    return !s.removed && s.kind == DraftStep::Kind::Op && s.request.pass == Pass::Forward && s.request.op->name == op;
  }

  // The step that alone reads v, or -1 where v has other readers, is kept or is seen through a view.
  int only_reader(int v) const {
    if (d_.values[v].keep || viewed_[v] || d_.values[v].alias >= 0 || readers_[v].size() != 1) return -1;
    return readers_[v][0];
  }

  // Whether a residual may join as s stores; the column says which operations take one.
  bool producer(const DraftStep& s) const {
    return !s.removed && s.kind == DraftStep::Kind::Op && s.request.pass == Pass::Forward && s.request.op->name != "add";
  }

  // conv or linear, all constant, then a batch norm in inference form: the norm goes into weight and bias.
  void fold_norm(size_t i) {
    DraftStep& s = d_.steps[i];
    if (!(forward_of(s, "conv2d") || forward_of(s, "linear")) || !s.folded_norm.empty()) return;
    int r = only_reader(s.out[0]);
    if (r < 0 || !forward_of(d_.steps[r], "batch_norm")) return;
    DraftStep& norm = d_.steps[r];
    if (norm.request.batch_statistics || norm.in[0] != s.out[0] || !s.request.constant[1]) return;
    if (s.in[2] >= 0 && !s.request.constant[2]) return;
    for (int k = 1; k < 5; k++)
      if (!norm.request.constant[k]) return;
    s.folded_norm.assign(norm.in.begin() + 1, norm.in.end());
    s.folded_eps = norm.request.attributes.at("eps");
    const Shape channels{d_.values[norm.in[1]].type.shape[0]};
    s.request.inputs[2] = {DType::F32, channels};  // the folded bias
    s.request.constant[2] = true;
    take_over(s, norm);
  }

  // s now writes what `absorbed` wrote.
  void take_over(DraftStep& s, DraftStep& absorbed) {
    s.out[0] = absorbed.out[0];
    s.request.outputs[0] = absorbed.request.outputs[0];
    s.node += "+" + absorbed.node;
    absorbed.removed = true;
    count();
  }

  void fuse_residual(size_t i) {
    DraftStep& add = d_.steps[i];
    if (!forward_of(add, "add") || add.in[0] == add.in[1]) return;
    if (add.request.inputs[0].shape != add.request.inputs[1].shape) return;
    // Of the two producers the later one: the other's result is there already.
    int chosen = -1;
    for (int k = 0; k < 2; k++) {
      int w = writer_[add.in[k]];
      if (w < 0 || !producer(d_.steps[w]) || only_reader(add.in[k]) != static_cast<int>(i)) continue;
      Epilogue e = d_.steps[w].request.epilogue;
      if (e.any()) continue;
      e.residual = true;
      if (!d_.column.fuses(d_.steps[w].request, e)) continue;
      if (chosen < 0 || w > writer_[add.in[chosen]]) chosen = k;
    }
    if (chosen < 0) return;
    int w = writer_[add.in[chosen]];
    // The producer moves to where the add stood: by then the residual has been written.
    DraftStep moved = std::move(d_.steps[w]);
    d_.steps[w] = DraftStep();
    d_.steps[w].removed = true;
    moved.residual = add.in[1 - chosen];
    moved.request.epilogue.residual = true;
    moved.out[0] = add.out[0];
    moved.node += "+" + add.node;
    d_.steps[i] = std::move(moved);
    count();
  }

  void fuse_activation(size_t i) {
    DraftStep& s = d_.steps[i];
    if (s.removed || !(producer(s) || forward_of(s, "add")) || s.request.epilogue.activation != Activation::None) return;
    int r = only_reader(s.out[0]);
    if (r < 0) return;
    DraftStep& a = d_.steps[r];
    if (a.removed || a.kind != DraftStep::Kind::Op || a.request.pass != Pass::Forward) return;
    Activation kind = a.request.op->activation;
    if (kind == Activation::None) return;
    Epilogue e = s.request.epilogue;
    e.activation = kind;
    if (kind == Activation::LeakyRelu) e.slope = static_cast<float>(a.request.attributes.at("slope"));
    if (!d_.column.fuses(s.request, e)) return;
    s.request.epilogue = e;
    take_over(s, a);
  }

  bool backward_of_op(const DraftStep& s) const { return !s.removed && s.kind == DraftStep::Kind::Op && s.request.pass == Pass::Backward; }

  // Sum of two gradients, read by one backward step alone: that step reads both.
  void fuse_second_gradient(size_t i) {
    DraftStep& sum = d_.steps[i];
    if (sum.removed || sum.kind != DraftStep::Kind::Service || sum.service.service != Service::Sum) return;
    int r = only_reader(sum.out[0]);
    if (r < 0) return;
    DraftStep& s = d_.steps[r];
    if (!backward_of_op(s) || s.dout != sum.out[0] || s.dout2 >= 0 || !d_.column.takes_second_gradient(s.request)) return;
    s.dout = sum.in[0];
    s.dout2 = sum.in[1];
    s.request.second_gradient = true;
    sum.removed = true;
    count();
  }

  // Backward of an activation, then of a batch norm that reads its result first.
  void fuse_activation_backward(size_t i) {
    DraftStep& a = d_.steps[i];
    if (!backward_of_op(a) || a.request.op->activation == Activation::None || a.din[0] < 0) return;
    int g = a.din[0];
    if (readers_[g].empty() || d_.values[g].keep || viewed_[g]) return;
    int first = *std::min_element(readers_[g].begin(), readers_[g].end());
    DraftStep& norm = d_.steps[first];
    if (!backward_of_op(norm) || norm.request.op->name != "batch_norm" || norm.dout != g || norm.dout2 >= 0) return;
    Epilogue e;
    e.activation = a.request.op->activation;
    if (e.activation == Activation::LeakyRelu) e.slope = static_cast<float>(a.request.attributes.at("slope"));
    bool others = readers_[g].size() > 1;
    e.residual = others;
    if (!d_.column.fuses(norm.request, e)) return;
    if (a.dout2 >= 0 && !d_.column.takes_second_gradient(norm.request)) return;
    norm.request.epilogue = e;
    norm.request.residual_gradient = others;
    norm.request.second_gradient = a.dout2 >= 0;
    norm.dout = a.dout;
    norm.dout2 = a.dout2;
    norm.activated = a.out[0];
    if (others) norm.dresidual = g;
    norm.node += "+" + a.node;
    a.removed = true;
    count();
  }

  // A result that backward reads only for its activation's slope need not be kept until then, where the column can work the
  // slope out again from what the norm's backward reads anyway.
  void recompute_result(size_t i) {
    DraftStep& norm = d_.steps[i];
    if (!backward_of_op(norm) || norm.activated < 0 || d_.values[norm.activated].keep || viewed_[norm.activated]) return;
    for (int r : readers_[norm.activated])
      if (r != static_cast<int>(i) && d_.steps[r].phase != kForward) return;
    const int w = writer_[norm.activated];
    if (w < 0 || norm.in[0] < 0) return;
    const DraftStep& forward = d_.steps[w];
    if (!forward_of(forward, "batch_norm") || forward.in[0] != norm.in[0] || forward.request.epilogue.residual) return;
    if (!d_.column.recomputes(norm.request)) return;
    norm.request.recomputes = true;
    norm.activated = -1;
    norm.in = forward.in;
    count();
  }

  Draft& d_;
  std::vector<std::vector<int>> readers_;
  std::vector<int> writer_;
  std::vector<bool> viewed_;
};

}  // namespace

void fuse_steps(Draft& draft) {
  Fuser(draft).run();
  auto& steps = draft.steps;
  steps.erase(std::remove_if(steps.begin(), steps.end(), [](const DraftStep& s) { return s.removed; }), steps.end());
}

}  // namespace graft
