// Places: every operand of the draft gets its place (arena, form, arena of trainables, plain memory), and the draft's steps
// become the plan's.
#include "passes.h"

namespace graft {
namespace {

class Placer {
 public:
  Placer(Draft& draft, const Layout& layout, const Trainables* trainables) : d_(draft), layout_(layout), trainables_(trainables) {}

  PlacedSteps run() {
    for (auto& s : d_.steps) made_.steps.push_back(place(s));
    name_readable();
    return std::move(made_);
  }

 private:
  Step place(DraftStep& s) {
    static const char* const passes[] = {"forward", "backward", "loss"};
    static const char* const services[] = {"convert", "sum", "accumulate", "zero", "fold_batch_norm", "gather_rows", "scatter_rows", "signs", "merge_low_rank"};
    Step made;
    made.phase = s.phase;
    made.node = s.node;
    made.without_gradients = s.without_gradients;
    for (int v : s.in) made.in.push_back(operand(v));
    for (int v : s.out) made.out.push_back(operand(v));
    for (int v : s.din) made.din.push_back(operand(v));
    for (int v : s.spared) made.spared.push_back(operand(v));
    made.dout = operand(s.dout);
    made.dout2 = operand(s.dout2);
    made.residual = operand(s.residual);
    made.dresidual = operand(s.dresidual);
    made.activated = operand(s.activated);
    made.scratch = operand(s.scratch);
    made.folded = !s.folded_norm.empty();
    switch (s.kind) {
      case DraftStep::Kind::Op:
        made.op = s.request.op->name;
        made.pass = passes[static_cast<int>(s.request.pass)];
        made.modes = s.request.modes;
        made.epilogue = s.request.epilogue;
        break;
      case DraftStep::Kind::Service:
        made.op = services[static_cast<int>(s.service.service)];
        made.pass = s.phase == kForward ? "forward" : s.phase == kGradients ? "backward" : "update";
        if (s.service.service == Service::ScatterRows) made.in[0] = {of_item(Place::Space::Weights, s.item), s.service.inputs[0], s.node};
        if (s.service.service == Service::Zero) made.out[0] = {{Place::Space::Gradients, 0, 0}, s.service.outputs[0], s.node};
        break;
      case DraftStep::Kind::Pack: made.op = "pack"; made.pass = s.phase == kForward ? "forward" : "backward"; break;
      case DraftStep::Kind::Optimizer: made.op = "optimizer"; made.pass = "update"; place_optimizer(s, made); break;
    }
    made.kernel = std::move(s.kernel);
    return made;
  }

  void place_optimizer(DraftStep& s, Step& made) {
    const Trainables& t = *trainables_;
    // Prepared once more: only now is known after how many updates each tensor joined.
    for (size_t i = 0; i < s.optimizer.segments.size(); i++) s.optimizer.segments[i].born = t.items[i].born;
    s.kernel = d_.column.prepare(s.optimizer);
    TensorType all{DType::F32, Shape{t.elements}};
    auto at = [&](Place::Space space, const char* name, bool there) { return there ? Operand{{space, 0, 0}, all, name} : Operand{}; };
    made.in = {at(Place::Space::Gradients, "gradients", true), at(Place::Space::Anchor, "anchor", static_cast<bool>(t.anchor)), {}, {}, {},
               at(Place::Space::Mask, "mask", static_cast<bool>(t.mask))};
    made.out = {at(Place::Space::Weights, "weights", true), at(Place::Space::Moment0, "moment 0", static_cast<bool>(t.moment[0])),
                at(Place::Space::Moment1, "moment 1", static_cast<bool>(t.moment[1])),
                at(Place::Space::Average, "average", s.optimizer.average != 0)};
  }

  Operand operand(int v) const {
    Operand x;
    if (v < 0) return x;
    const DraftValue& value = d_.values[v];
    const DraftValue& root = d_.values[d_.root(v)];
    x.type = value.type;
    x.name = value.name;
    switch (root.kind) {
      case DraftValue::Kind::Arena:
      case DraftValue::Kind::Input: x.place = {Place::Space::Workspace, 0, layout_.offset[v]}; break;
      case DraftValue::Kind::Resident: x.place = {Place::Space::Resident, 0, layout_.offset[v]}; break;
      case DraftValue::Kind::Packed: x.place = {Place::Space::Form, root.form, static_cast<size_t>(root.form_output)}; break;
      case DraftValue::Kind::Gradient: x.place = of_item(Place::Space::Gradients, root.item); break;
      case DraftValue::Kind::Parameter: {
        const TrainableItem* item = trainables_ ? trainables_->find(root.param) : nullptr;
        if (item && item->rows.empty()) x.place = {Place::Space::Weights, 0, 4 * static_cast<size_t>(item->offset)};
        else x.place = {Place::Space::Plain, root.param, 0};
        break;
      }
    }
    return x;
  }

  Place of_item(Place::Space space, int item) const { return {space, 0, 4 * static_cast<size_t>(trainables_->items[item].offset)}; }

  void name_readable() {
    for (size_t v = 0; v < d_.graph.values().size(); v++) {
      const Value& value = d_.graph.value(static_cast<int>(v));
      const int id = d_.value_of[v];
      if (value.kind == Value::Kind::Input) made_.inputs[value.name] = operand(id);
      if (value.kind == Value::Kind::Parameter) add_gradient(value.name, id);
    }
    for (const auto& [name, v] : d_.graph.outputs()) {
      add_readable(d_.graph.value(v).name, d_.value_of[v]);
      add_readable(name, d_.value_of[v]);
    }
    for (const auto& name : d_.options.kept) add_readable(name, d_.value_of[d_.graph.find(name)]);
  }

  void add_readable(const std::string& name, int id) {
    made_.readable[name] = operand(id);
    add_gradient(name, id);
  }

  void add_gradient(const std::string& name, int id) {
    if (const int g = d_.gradient_of[id]; g >= 0) made_.readable["gradient:" + name] = operand(g);
  }

  Draft& d_;
  const Layout& layout_;
  const Trainables* trainables_;
  PlacedSteps made_;
};

}  // namespace

PlacedSteps place_steps(Draft& draft, const Layout& layout, const Trainables* trainables) { return Placer(draft, layout, trainables).run(); }

}  // namespace graft
