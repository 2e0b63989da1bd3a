// Compilation as a whole: the passes of passes.h in their order, around what the plan uses of the parameter store. Nothing is
// allocated in the column before the sum is known to fit.
#include <mutex>

#include "passes.h"

namespace graft {

class Compiler {
 public:
  Compiler(std::shared_ptr<Device> device, const Graph& graph, std::shared_ptr<Params> params, const std::string& options)
      : plan_(std::make_shared<Plan>()), graph_(graph), params_(*params), column_(*device->column) {
    require(&params_.device() == device.get(), "the parameters belong to another device than the plan");
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
    const Graph graph = o.fuse ? fuse_losses(graph_, o) : graph_;
    Draft draft{graph, o, column_, {}, {}, {}, {}, 0};
    emit_steps(draft, bind_parameters());
    fuse_steps(draft);
    if (o.fuse && o.signs) keep_signs(draft);
    collect_trainables();
    add_update(draft, params_, use_.trained);
    prepare_steps(draft, params_, use_);
    const Layout layout = lay_out(draft);

    plan_->sizes_ = {o.groups, draft.losses, o.batch, static_cast<int>(o.trained.size())};
    plan_->memory_.arena = layout.bytes;
    plan_->memory_.activations = layout.unshared;
    plan_->memory_.resident = layout.resident;
    plan_->memory_.step_block = StepBlock::bytes(plan_->sizes_);
    if (column_.enqueues())
      for (const DraftValue& v : draft.values)
        if (v.kind == DraftValue::Kind::Input) plan_->memory_.feeds += v.type.bytes();
    // On a lane, then under the lock: the order in which runs take them too.
    plan_->device_->lanes.run([&] {
      std::unique_lock<std::shared_mutex> hold(params_.lock());
      const size_t limit = o.limit > 0 ? static_cast<size_t>(o.limit) : column_.available_bytes();
      check_memory(plan_->memory_, use_, params_, limit, o.batch);
      try {
        take_from_store();
      } catch (const Error& e) {
        const PlanMemory& m = plan_->memory_;
        if (e.status() != GRAFT_OUT_OF_MEMORY) throw;
        throw with_groups(e, m, o.batch, column_.available_bytes(), m.packed_new + m.trained_new + m.step_block + m.resident);
      }
      PlacedSteps placed = place_steps(draft, layout, plan_->trainables_.get());
      plan_->steps_ = std::move(placed.steps);
      plan_->inputs_ = std::move(placed.inputs);
      plan_->readable_ = std::move(placed.readable);
    });
    return plan_;
  }

 private:
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
    TrainSpec& spec = use_.trained;
    for (const auto& t : o.trained) {
      int id = params_.id(t.name);
      require(!params_.is_buffer(id), "parameter ", t.name, " is a running statistic; it is tracked, not trained");
      for (auto [a, b] : t.rows)
        require(b <= params_.shape(id)[0], "rows ", a, " to ", b, " of ", t.name, ": it has ", params_.shape(id)[0], " rows");
      spec.items.push_back({id, t.rows, t.mask});
      plan_->updated_.push_back(id);
      if (!t.rows.empty()) use_.plain.push_back(id);
    }
    for (const auto& t : o.tracked) {
      plan_->tracked_.push_back(params_.id(t));
      use_.plain.push_back(params_.id(t));
    }
    spec.kind = o.update.kind;
    spec.moments = !o.optimizer ? 0 : o.update.kind == OptimizerKind::Sgd ? (o.update.momentum > 0 ? 1 : 0) : 2;
    spec.anchor = o.optimizer && o.update.anchor;
    spec.average = o.optimizer && o.update.average != 0;
  }

  void take_from_store() {
    // What may still fail for want of a value comes before the arena of trainables changes.
    for (auto& form : use_.forms)
      if (form->stale(params_)) form->build(params_);
    plan_->forms_ = std::move(use_.forms);
    if (!use_.trained.items.empty()) plan_->trainables_ = params_.trainables(use_.trained);
    for (int p : use_.plain) params_.plain(p);
    if (const auto& t = plan_->trainables_) {
      plan_->memory_.trained = t->weights.bytes();
      plan_->memory_.gradients = t->gradients.bytes();
      plan_->memory_.moments = t->state_bytes();
      plan_->memory_.anchor = t->anchor.bytes() + t->mask.bytes();
    }
  }

  std::shared_ptr<Plan> plan_;
  const Graph& graph_;
  Params& params_;
  Column& column_;
  StoreUse use_;
};

std::shared_ptr<Plan> Plan::compile(std::shared_ptr<Device> device, const Graph& graph, std::shared_ptr<Params> params, const std::string& options) {
  return Compiler(std::move(device), graph, std::move(params), options).run();
}

}  // namespace graft
