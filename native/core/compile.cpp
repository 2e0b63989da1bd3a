// Compilation as a whole: the passes, then kernels, forms, addresses and the check against memory, in that order. Nothing is
// allocated in the column before the sum is known to fit.
#include <algorithm>
#include <mutex>

#include "lifetimes.h"
#include "nearest_name.h"
#include "plan.h"

namespace graft {

class Compiler {
 public:
  Compiler(std::shared_ptr<Device> device, const Graph& graph, std::shared_ptr<Params> params, const std::string& options)
      : plan_(std::make_shared<Plan>()), graph_(graph), params_(*params), column_(*device->column) {
    require(&params->device() == device.get(), "the parameters belong to another device than the plan");
    plan_->device_ = std::move(device);
    plan_->params_ = std::move(params);
    plan_->options_ = PlanOptions::parse(options);
  }

  std::shared_ptr<Plan> run() {
    const PlanOptions& o = plan_->options_;
    plan_->asked_precision_ = o.compute;
    if (!column_.computes(o.compute)) {  // told by describe() and graft_plan_precision(); the binding logs it
      plan_->options_.compute = DType::F32;
    }
    Draft draft{graph_, o, column_, {}, {}, {}, {}, 0};
    emit_steps(draft, bind_parameters());
    fuse_steps(draft);
    collect_trainables();
    add_update(draft);
    prepare(draft);
    Layout layout = lay_out(draft);
    plan_->sizes_ = {o.groups, draft.losses, o.batch, static_cast<int>(o.trained.size())};

    plan_->memory_.arena = layout.bytes;
    plan_->memory_.activations = layout.unshared;
    plan_->memory_.step_block = StepBlock::bytes(plan_->sizes_);
    // On a lane, then under the lock: the order in which runs take them too.
    plan_->device_->lanes.run([&] { allocate(draft, layout); });
    return plan_;
  }

 private:
  void allocate(Draft& draft, const Layout& layout) {
    std::unique_lock<std::shared_mutex> hold(params_.lock());
    check_limit(count_memory());
    // What may still fail for want of a value comes before the arena of trainables changes.
    for (auto& form : plan_->forms_)
      if (form->stale(params_)) form->build(params_);
    if (!spec_.items.empty()) plan_->trainables_ = params_.trainables(spec_);
    for (int p : plain_) params_.plain(p);
    place(draft, layout);
    if (const auto& t = plan_->trainables_) {
      plan_->memory_.trained = t->weights.bytes();
      plan_->memory_.gradients = t->gradients.bytes();
      plan_->memory_.moments = t->state_bytes();
      plan_->memory_.anchor = t->anchor.bytes() + t->mask.bytes();
    }
  }

  std::vector<int> bind_parameters() {
    std::vector<int> ids;
    for (const auto& v : graph_.values()) {
      int id = -1;
      if (v.kind == Value::Kind::Parameter) {
        id = params_.id(v.name);
        require(params_.shape(id) == v.type.shape, "parameter ", v.name, ": the graph expects ", v.type.shape.str(), ", the store has ", params_.shape(id).str());
      }
      ids.push_back(id);
    }
    return ids;
  }

  void collect_trainables() {
    const PlanOptions& o = plan_->options_;
    for (const auto& t : o.trained) {
      int id = params_.id(t.name);
      require(!params_.is_buffer(id), "parameter ", t.name, " is a running statistic; it is tracked, not trained");
      for (auto [a, b] : t.rows)
        require(b <= params_.shape(id)[0], "rows ", a, " to ", b, " of ", t.name, ": it has ", params_.shape(id)[0], " rows");
      spec_.items.push_back({id, t.rows, t.mask});
      plan_->updated_.push_back(id);
      if (!t.rows.empty()) plain_.push_back(id);
    }
    for (const auto& t : o.tracked) {
      plan_->tracked_.push_back(params_.id(t));
      plain_.push_back(params_.id(t));
    }
    spec_.kind = o.update.kind;
    spec_.moments = !o.optimizer ? 0 : o.update.kind == OptimizerKind::Sgd ? (o.update.momentum > 0 ? 1 : 0) : 2;
    spec_.anchor = o.optimizer && o.update.anchor;
  }

  void add_update(Draft& draft) {
    const PlanOptions& o = plan_->options_;
    if (!o.optimizer || o.trained.empty()) return;
    DraftStep s;
    s.kind = DraftStep::Kind::Optimizer;
    s.phase = kUpdate;
    s.node = "optimizer";
    s.optimizer = o.update;
    s.optimizer.elements = params_.assign_places(spec_.items);
    for (size_t i = 0; i < spec_.items.size(); i++) {
      const TrainableItem& item = spec_.items[i];
      s.optimizer.segments.push_back({item.offset, item.count, o.trained[i].group, item.mask_offset});
    }
    draft.steps.push_back(std::move(s));
    for (size_t i = 0; i < spec_.items.size(); i++) {
      if (spec_.items[i].rows.empty()) continue;
      int v = draft.value_of[graph_.find(o.trained[i].name)];
      DraftStep scatter;
      scatter.kind = DraftStep::Kind::Service;
      scatter.phase = kUpdate;
      scatter.node = o.trained[i].name;
      TensorType live = draft.values[draft.gradient_of[v]].type;
      scatter.service = {Service::ScatterRows, {live}, {draft.values[v].type}, {}, spec_.items[i].rows};
      scattered_.emplace_back(draft.steps.size(), i);
      scatter.in = {-1};
      scatter.out = {v};
      draft.steps.push_back(std::move(scatter));
    }
    if (o.accumulate) {
      DraftStep clear;
      clear.kind = DraftStep::Kind::Service;
      clear.phase = kUpdate;
      clear.node = "gradients";
      TensorType all{DType::F32, Shape{params_.assign_places(spec_.items)}};
      clear.service = {Service::Zero, {}, {all}, {}, {}};
      clear.out = {-1};
      cleared_ = static_cast<int>(draft.steps.size());
      draft.steps.push_back(std::move(clear));
    }
  }

  // Kernels for all steps; what they want packed becomes a form (constant) or a pack step (trained) before its reader.
  void prepare(Draft& draft) {
    std::vector<DraftStep> steps;
    std::map<int, PackSpec> packed_so_far;  // parameter -> layout of its forward
    std::map<std::pair<int, std::string>, int> packed_value;
    for (auto& s : draft.steps) {
      switch (s.kind) {
        case DraftStep::Kind::Service: s.kernel = column_.prepare(s.service); break;
        case DraftStep::Kind::Optimizer: s.kernel = column_.prepare(s.optimizer); break;
        case DraftStep::Kind::Pack: break;
        case DraftStep::Kind::Op: {
          for (size_t i = 0; i < s.in.size(); i++)
            if (s.in[i] >= 0 && draft.values[s.in[i]].kind == DraftValue::Kind::Parameter) {
              auto it = packed_so_far.find(draft.values[s.in[i]].param);
              if (it != packed_so_far.end()) s.request.preferred[i] = it->second;
            }
          s.kernel = column_.prepare(s.request);
          ensure(s.kernel != nullptr, "node ", s.node, ": no kernel for ", s.request.name());
          for (size_t i = 0; i < s.in.size(); i++) supply(draft, s, i, steps, packed_so_far, packed_value);
          break;
        }
      }
      s.each_read([&](int v) { supply_plain(draft, v); });
      if (size_t bytes = s.kernel->scratch_bytes()) {
        DraftValue scratch;
        scratch.type = {DType::U8, Shape{static_cast<int64_t>(bytes)}};
        scratch.name = "scratch:" + s.node;
        s.scratch = draft.add(std::move(scratch));
      }
      for (auto& [at, item] : scattered_)
        if (&draft.steps[at] == &s) moved_.emplace_back(steps.size(), item);
      if (cleared_ >= 0 && &draft.steps[cleared_] == &s) cleared_at_ = static_cast<int>(steps.size());
      steps.push_back(std::move(s));
    }
    draft.steps = std::move(steps);
    for (const auto& [name, v] : graph_.outputs()) supply_plain(draft, draft.value_of[v]);
    for (const auto& name : plan_->options_.kept) supply_plain(draft, draft.value_of[graph_.find(name)]);
    draft.gradient_of.resize(draft.values.size(), -1);
  }

  // A constant parameter that is read as it is, itself or through views: its values become those of a plain form.
  void supply_plain(Draft& draft, int v) {
    const int root = draft.root(v);
    const DraftValue& value = draft.values[root];
    const auto& changing = plan_->options_.tracked;
    if (value.kind != DraftValue::Kind::Parameter || changing.count(value.name)) return;
    for (const auto& item : spec_.items)
      if (item.param == value.param) return;
    const int form = form_value(draft, root, borrow({FormSpec::Kind::Plain, {value.param}, {}, 0}), 0);
    draft.values[root].alias = form;
  }

  void supply(Draft& draft, DraftStep& s, size_t i, std::vector<DraftStep>& steps, std::map<int, PackSpec>& packed_so_far,
              std::map<std::pair<int, std::string>, int>& packed_value) {
    const bool bias_of_fold = !s.folded_norm.empty() && i == 2;
    if (s.in[i] < 0 && !bias_of_fold) return;
    if (bias_of_fold) {
      s.in[2] = form_output_;  // made with the weight, input 1, just before
      return;
    }
    int v = s.in[i];
    if (draft.values[v].kind != DraftValue::Kind::Parameter) return;
    PackSpec spec = s.kernel->pack(i);
    const int param = draft.values[v].param;
    const bool plain = spec.layout.empty() && spec.dtype == DType::F32;
    if (s.request.constant[i]) {
      FormSpec form{FormSpec::Kind::Packed, {param}, spec, 0};
      if (i == 1 && !s.folded_norm.empty()) {
        form.kind = FormSpec::Kind::Folded;
        form.eps = s.folded_eps;
        form.sources = {param, s.in[2] < 0 ? -1 : draft.values[s.in[2]].param};
        for (int n : s.folded_norm) form.sources.push_back(draft.values[n].param);
      } else if (plain) {
        return;  // supply_plain()
      } else {
        packed_so_far[param] = spec;
      }
      int number = borrow(form);
      s.in[i] = form_value(draft, v, number, 0);
      if (form.kind == FormSpec::Kind::Folded) form_output_ = form_value(draft, v, number, 1);
      return;
    }
    if (plain) return;
    packed_so_far[param] = spec;
    auto [it, fresh] = packed_value.try_emplace({v, spec.layout + name_of(spec.dtype)}, -1);
    if (fresh) {
      DraftValue packed;
      size_t bytes = spec.bytes ? spec.bytes : size_of(spec.dtype) * static_cast<size_t>(draft.values[v].type.count());
      packed.type = {DType::U8, Shape{static_cast<int64_t>(bytes)}};
      packed.name = "packed:" + draft.values[v].name;
      DraftStep pack;
      pack.kind = DraftStep::Kind::Pack;
      pack.phase = s.phase;
      pack.node = draft.values[v].name;
      pack.pack = spec;
      pack.kernel = column_.prepare_pack(draft.values[v].type, spec);
      pack.in = {v};
      it->second = draft.add(std::move(packed));
      pack.out = {it->second};
      if (size_t bytes = pack.kernel->scratch_bytes()) {
        DraftValue scratch;
        scratch.type = {DType::U8, Shape{static_cast<int64_t>(bytes)}};
        scratch.name = "scratch:" + pack.node;
        pack.scratch = draft.add(std::move(scratch));
      }
      steps.push_back(std::move(pack));
    }
    s.in[i] = it->second;
  }

  int form_value(Draft& draft, int v, int number, int output) {
    DraftValue value;
    value.kind = DraftValue::Kind::Packed;
    value.type = draft.values[v].type;
    value.name = draft.values[v].name;
    if (output == 1) {  // the bias that a fold makes
      value.type.shape = Shape{value.type.shape[0]};
      value.name += ":bias";
    }
    value.form = number;
    value.form_output = output;
    return draft.add(std::move(value));
  }

  // Number of the form among the plan's; an equal form of another plan is shared.
  int borrow(const FormSpec& spec) {
    std::string key = spec.key(params_);
    auto it = form_numbers_.find(key);
    if (it != form_numbers_.end()) return it->second;
    std::shared_ptr<Form> form;
    {
      std::unique_lock<std::shared_mutex> hold(params_.lock());
      form = params_.find_form(key);
      if (!form) {
        form = std::make_shared<Form>(params_, spec);
        params_.remember_form(key, form);
      }
    }
    plan_->forms_.push_back(form);
    return form_numbers_[key] = static_cast<int>(plan_->forms_.size()) - 1;
  }

  // Bytes that this plan newly needs; fills the groups.
  size_t count_memory() {
    PlanMemory& m = plan_->memory_;
    for (const auto& form : plan_->forms_) {
      m.packed += form->bytes();
      if (form->stale(params_)) m.packed_new += form->bytes();
    }
    size_t fresh = 0;
    for (int p : plain_) {
      m.plain += 4 * params_.shape(p).count();
      if (!params_.has_plain(p)) fresh += 4 * params_.shape(p).count();
    }
    trained_new_ = spec_.items.empty() ? 0 : params_.new_bytes(spec_);
    return m.arena + m.packed_new + fresh + trained_new_ + m.step_block;
  }

  void check_limit(size_t needed) {
    const PlanOptions& o = plan_->options_;
    const size_t limit = o.limit > 0 ? static_cast<size_t>(o.limit) : column_.available_bytes();
    if (needed <= limit) return;
    const PlanMemory& m = plan_->memory_;
    const size_t fixed = needed - m.arena;
    auto mib = [](size_t bytes) { return text((bytes + (1 << 20) - 1) >> 20, " MiB"); };
    std::string fits = "no batch fits";
    if (fixed < limit && o.batch > 1) {
      size_t batch = static_cast<size_t>(static_cast<double>(limit - fixed) / m.arena * o.batch);
      if (batch >= 1) fits = text("a batch of about ", batch, " would fit");
    }
    throw Error(GRAFT_OUT_OF_MEMORY, text("the plan needs ", mib(needed), " and ", mib(limit), " are available: arena ", mib(m.arena), ", packed weights ",
                mib(m.packed_new), ", weights, gradients and moments of what is trained ", mib(trained_new_), ", other ",
                mib(needed - m.arena - m.packed_new - trained_new_), "; at batch ", o.batch, ", ", fits));
  }

  Operand operand(const Draft& draft, const Layout& layout, int v) const {
    Operand x;
    if (v < 0) return x;
    const DraftValue& value = draft.values[v];
    const DraftValue& root = draft.values[draft.root(v)];
    x.type = value.type;
    x.name = value.name;
    switch (root.kind) {
      case DraftValue::Kind::Arena:
      case DraftValue::Kind::Input: x.place = {Place::Space::Workspace, 0, layout.offset[v]}; break;
      case DraftValue::Kind::Packed: x.place = {Place::Space::Form, root.form, static_cast<size_t>(root.form_output)}; break;
      case DraftValue::Kind::Gradient:
        x.place = {Place::Space::Gradients, 0, 4 * static_cast<size_t>(plan_->trainables_->items[root.item].offset)};
        break;
      case DraftValue::Kind::Parameter: {
        const TrainableItem* item = plan_->trainables_ ? plan_->trainables_->find(root.param) : nullptr;
        if (item && item->rows.empty()) x.place = {Place::Space::Weights, 0, 4 * static_cast<size_t>(item->offset)};
        else x.place = {Place::Space::Plain, root.param, 0};
        break;
      }
    }
    return x;
  }

  void place(Draft& draft, const Layout& layout) {
    static const char* const passes[] = {"forward", "backward", "loss"};
    static const char* const services[] = {"convert", "sum", "accumulate", "zero", "fold_batch_norm", "gather_rows", "scatter_rows"};
    auto at = [&](int v) { return operand(draft, layout, v); };
    for (auto& s : draft.steps) {
      if (s.kind == DraftStep::Kind::Optimizer) {  // once more: only now is known after how many updates each tensor joined
        for (size_t i = 0; i < spec_.items.size(); i++) s.optimizer.segments[i].born = plan_->trainables_->items[i].born;
        s.kernel = column_.prepare(s.optimizer);
      }
      Step made;
      made.phase = s.phase;
      made.node = s.node;
      for (int v : s.in) made.in.push_back(at(v));
      for (int v : s.out) made.out.push_back(at(v));
      for (int v : s.din) made.din.push_back(at(v));
      made.dout = at(s.dout);
      made.dout2 = at(s.dout2);
      made.residual = at(s.residual);
      made.dresidual = at(s.dresidual);
      made.activated = at(s.activated);
      made.scratch = at(s.scratch);
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
          break;
        case DraftStep::Kind::Pack: made.op = "pack"; made.pass = s.phase == kForward ? "forward" : "backward"; break;
        case DraftStep::Kind::Optimizer: made.op = "optimizer"; made.pass = "update"; place_optimizer(made); break;
      }
      made.kernel = std::move(s.kernel);
      plan_->steps_.push_back(std::move(made));
    }
    for (auto [step, item] : moved_)
      plan_->steps_[step].in[0] = {{Place::Space::Weights, 0, 4 * static_cast<size_t>(plan_->trainables_->items[item].offset)},
                                   plan_->steps_[step].in[0].type, plan_->options_.trained[item].name};
    if (cleared_at_ >= 0)
      plan_->steps_[cleared_at_].out[0] = {{Place::Space::Gradients, 0, 0}, {DType::F32, Shape{plan_->trainables_->elements}}, "gradients"};
    name_readable(draft, layout);
  }

  void place_optimizer(Step& s) {
    TensorType all{DType::F32, Shape{plan_->trainables_->elements}};
    auto at = [&](Place::Space space, const char* name, bool there) { return there ? Operand{{space, 0, 0}, all, name} : Operand{}; };
    const Trainables& t = *plan_->trainables_;
    s.in = {at(Place::Space::Gradients, "gradients", true), at(Place::Space::Anchor, "anchor", static_cast<bool>(t.anchor)), {}, {}, {},
            at(Place::Space::Mask, "mask", static_cast<bool>(t.mask))};
    s.out = {at(Place::Space::Weights, "weights", true), at(Place::Space::Moment0, "moment 0", static_cast<bool>(t.moment[0])),
             at(Place::Space::Moment1, "moment 1", static_cast<bool>(t.moment[1]))};
  }

  void name_readable(const Draft& draft, const Layout& layout) {
    for (size_t v = 0; v < graph_.values().size(); v++) {
      const Value& value = graph_.value(static_cast<int>(v));
      int id = draft.value_of[v];
      if (value.kind == Value::Kind::Input) plan_->inputs_[value.name] = operand(draft, layout, id);
      if (value.kind == Value::Kind::Parameter && draft.gradient_of[id] >= 0)
        plan_->readable_["gradient:" + value.name] = operand(draft, layout, draft.gradient_of[id]);
    }
    for (const auto& [name, v] : graph_.outputs()) {
      make_readable(draft, layout, graph_.value(v).name, draft.value_of[v]);
      make_readable(draft, layout, name, draft.value_of[v]);
    }
    for (const auto& name : plan_->options_.kept) make_readable(draft, layout, name, draft.value_of[graph_.find(name)]);
  }

  void make_readable(const Draft& draft, const Layout& layout, const std::string& name, int id) {
    plan_->readable_[name] = operand(draft, layout, id);
    int g = draft.gradient_of[id];
    if (g >= 0) plan_->readable_["gradient:" + name] = operand(draft, layout, g);
  }

  std::shared_ptr<Plan> plan_;
  const Graph& graph_;
  Params& params_;
  Column& column_;
  TrainSpec spec_;
  std::vector<int> plain_;  // parameters whose truth must be plain memory
  std::map<std::string, int> form_numbers_;
  int form_output_ = -1;  // value of the folded bias that belongs to the weight supplied last
  size_t trained_new_ = 0;
  std::vector<std::pair<size_t, size_t>> scattered_, moved_;  // step, trainable: before and after pack steps are in
  int cleared_ = -1, cleared_at_ = -1;
};

std::shared_ptr<Plan> Plan::compile(std::shared_ptr<Device> device, const Graph& graph, std::shared_ptr<Params> params, const std::string& options) {
  return Compiler(std::move(device), graph, std::move(params), options).run();
}

const Operand* Plan::input(const std::string& name) const {
  auto it = inputs_.find(name);
  return it == inputs_.end() ? nullptr : &it->second;
}

std::string Plan::input_names() const {
  std::string list;
  for (const auto& [name, operand] : inputs_) list += (list.empty() ? "" : ", ") + name;
  return list.empty() ? "none" : list;
}

const Operand& Plan::readable(const std::string& name) const {
  auto it = readable_.find(name);
  if (it != readable_.end()) return it->second;
  std::vector<std::string> known;
  for (const auto& [n, operand] : readable_) known.push_back(n);
  throw Error(GRAFT_INVALID_ARGUMENT, text("this plan keeps no value ", name, "; nearest is ", nearest_name(name, known)));
}

}  // namespace graft
