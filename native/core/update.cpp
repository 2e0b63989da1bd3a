// The update phase: one optimizer step over the arena of trainables, masked rows back into their tensors, and gradients that
// were added up cleared for the next run.
#include "passes.h"

namespace graft {
namespace {

DraftStep optimizer(const Draft& draft, const std::vector<TrainableItem>& items, int64_t elements) {
  const PlanOptions& o = draft.options;
  DraftStep s;
  s.kind = DraftStep::Kind::Optimizer;
  s.phase = kUpdate;
  s.node = "optimizer";
  s.optimizer = o.update;
  s.optimizer.elements = elements;
  for (size_t i = 0; i < items.size(); i++) s.optimizer.segments.push_back({items[i].offset, items[i].count, o.trained[i].group, items[i].mask_offset});
  return s;
}

// Live rows of trainable `i` from the arena of trainables into the whole tensor.
DraftStep scatter(const Draft& draft, const TrainableItem& item, int i) {
  DraftStep s;
  s.kind = DraftStep::Kind::Service;
  s.phase = kUpdate;
  s.node = draft.options.trained[i].name;
  const int v = draft.value_of[draft.graph.find(s.node)];
  s.service = {Service::ScatterRows, {draft.values[draft.gradient_of[v]].type}, {draft.values[v].type}, {}, item.rows};
  s.item = i;
  s.in = {-1};
  s.out = {v};
  return s;
}

DraftStep clear_gradients(int64_t elements) {
  DraftStep s;
  s.kind = DraftStep::Kind::Service;
  s.phase = kUpdate;
  s.node = "gradients";
  s.service = {Service::Zero, {}, {{DType::F32, Shape{elements}}}, {}, {}};
  s.out = {-1};
  return s;
}

}  // namespace

void add_update(Draft& draft, const Params& params, TrainSpec& trained) {
  const PlanOptions& o = draft.options;
  if (!o.optimizer || o.trained.empty()) return;
  const int64_t elements = params.assign_places(trained.items);
  draft.steps.push_back(optimizer(draft, trained.items, elements));
  for (size_t i = 0; i < trained.items.size(); i++)
    if (!trained.items[i].rows.empty()) draft.steps.push_back(scatter(draft, trained.items[i], static_cast<int>(i)));
  if (o.accumulate) draft.steps.push_back(clear_gradients(elements));
}

}  // namespace graft
