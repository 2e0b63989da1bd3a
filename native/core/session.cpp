#include "session.h"

#include <cmath>
#include <cstring>
#include <mutex>

#include "json.h"
#include "nearest_name.h"

namespace graft {

Session::Session(std::shared_ptr<Plan> plan, std::shared_ptr<Workspace> workspace)
    : plan_(std::move(plan)), workspace_(std::move(workspace)), block_memory_(*plan_->device().column, StepBlock::bytes(plan_->sizes())),
      mirror_(*plan_->device().column, StepBlock::bytes(plan_->sizes())), host_(StepBlock::at(mirror_.data(), plan_->sizes())),
      block_(StepBlock::at(block_memory_.address(), plan_->sizes())) {
  require(&workspace_->device() == &plan_->device(), "the workspace belongs to another device than the plan");
  std::memset(mirror_.data(), 0, mirror_.size());
  new (host_.header) StepHeader();
  for (int i = 0; i < plan_->sizes().losses; i++) host_.loss_weight[i] = 1;
  rows(plan_->sizes().batch, nullptr, nullptr);
  plan_->device().column->copy_in(block_memory_.address(), mirror_.data(), mirror_.size());
  for (const Step& s : plan_->steps()) {
    Bound b;
    b.in.resize(s.in.size());
    b.out.resize(s.out.size());
    b.din.resize(s.din.size());
    steps_.push_back(std::move(b));
  }
  bound_plain_.resize(plan_->tracked().size());
  Column& column = *plan_->device().column;
  try {
    workspace_->reserve(plan_->arena_bytes());
    if (column.enqueues())
      for (const auto& [name, input] : plan_->inputs()) inlets_.push_back({&input, column.feed(input.type.bytes())});
  } catch (const Error& e) {
    throw with_groups(e, plan_->memory(), plan_->sizes().batch);
  }
}

void* Session::address(const Operand& x) const {
  const auto& t = plan_->trainables();
  switch (x.place.space) {
    case Place::Space::None: return nullptr;
    case Place::Space::Workspace: return workspace_->at(x.place.offset);
    case Place::Space::Form: return plan_->forms()[x.place.index]->address(static_cast<int>(x.place.offset));
    case Place::Space::Plain: return plan_->params().plain(x.place.index);
    case Place::Space::Weights: return t->weights.at(x.place.offset);
    case Place::Space::Gradients: return t->gradients.at(x.place.offset);
    case Place::Space::Moment0: return t->moment[0].at(x.place.offset);
    case Place::Space::Moment1: return t->moment[1].at(x.place.offset);
    case Place::Space::Anchor: return t->anchor.at(x.place.offset);
    case Place::Space::Mask: return t->mask.at(x.place.offset);
  }
  return nullptr;
}

const Operand& Session::checked_input(const std::string& name, size_t bytes) const {
  const Operand* x = plan_->input(name);
  require(x, "no input ", name, "; the plan has: ", plan_->input_names());
  require(bytes == x->type.bytes(), "input ", name, " ", x->type.shape.str(), " of ", name_of(x->type.dtype), " takes ", x->type.bytes(), " bytes, ", bytes, " came");
  return *x;
}

void Session::write(const std::string& name, const void* host, size_t bytes) {
  const Operand& x = checked_input(name, bytes);
  for (Inlet& inlet : inlets_)
    if (inlet.input == &x && inlet.feed) {
      inlet.feed->take(host);
      inlet.waiting = true;
      return;
    }
  std::lock_guard<std::mutex> hold(workspace_->mutex());
  plan_->device().column->copy_in(address(x), host, bytes);
}

void Session::deliver_inputs() {
  for (Inlet& inlet : inlets_) {
    if (!inlet.waiting) continue;
    inlet.feed->deliver(address(*inlet.input));
    inlet.waiting = false;
  }
}

void Session::rows(int valid, const float* weights, const int64_t* ids) {
  const int batch = plan_->sizes().batch;
  require(valid >= 1 && valid <= batch, "valid rows are ", valid, "; expected 1 to the batch, ", batch);
  host_.header->valid_rows = valid;
  for (int i = 0; i < batch; i++) {
    host_.row_weight[i] = i >= valid ? 0 : weights ? weights[i] : 1;
    host_.row_id[i] = ids ? ids[i] : i;
  }
  dirty_ = true;
}

void Session::set(const std::string& key, int index, double value) {
  const StepSizes& n = plan_->sizes();
  require(std::isfinite(value), key, " is ", value, "; expected a finite number");
  auto entry = [&](float* array, int count) {
    require(index >= 0 && index < count, key, " of ", index, ": the plan has ", count);
    array[index] = static_cast<float>(value);
  };
  auto whole = [&](double least, double most) {
    require(std::trunc(value) == value && value >= least && value <= most, key, " is ", value, "; expected a whole number from ", least, " to ", most);
    return static_cast<int64_t>(value);
  };
  if (key == "rate") entry(host_.rate, n.groups);
  else if (key == "decay") entry(host_.decay, n.groups);
  else if (key == "anchor") entry(host_.anchor, n.groups);
  else if (key == "loss_weight") entry(host_.loss_weight, n.losses);
  else if (key == "seed") host_.header->seed = static_cast<uint64_t>(whole(-0x1p53, 0x1p53));
  else if (key == "visit") host_.header->visit = static_cast<int32_t>(whole(0, INT32_MAX));
  else if (key == "normalizer") host_.header->normalizer = static_cast<float>(value);
  else if (key == "clip") host_.header->clip_norm = static_cast<float>(value);
  else if (key == "updates") {
    require(plan_->trainables() != nullptr, "updates: the plan trains nothing");
    std::unique_lock<std::shared_mutex> hold(plan_->params().lock());
    check_present();
    plan_->trainables()->updates = whole(0, 0x1p53);
  } else {
    throw Error(GRAFT_INVALID_ARGUMENT, text("the step block has no ", key, "; nearest is ",
                nearest_name(key, {"rate", "decay", "anchor", "loss_weight", "seed", "visit", "normalizer", "clip", "updates"})));
  }
  dirty_ = true;
}

void Session::results(double* values, int count) const {
  const int losses = plan_->sizes().losses;
  require(count == 2 * losses + 1, "results are ", 2 * losses + 1, " numbers, room for ", count, " was given");
  for (int i = 0; i < losses; i++) {
    values[i] = host_.loss[i];
    values[losses + i] = host_.correct[i];
  }
  values[2 * losses] = host_.gradient_norm[0];
}

void Session::update_norms(double* values, int count) const {
  const int n = plan_->sizes().trainables;
  require(plan_->options().update.watch, "the plan's optimizer was compiled without watch=1");
  require(count == 2 * n, "update norms are ", 2 * n, " numbers, room for ", count, " was given");
  for (int i = 0; i < 2 * n; i++) values[i] = std::sqrt(host_.update_norms[i]);
}

void Session::read(const std::string& name, void* host, size_t bytes) {
  const Operand& x = plan_->readable(name);
  const bool narrow = x.type.dtype == DType::BF16;
  const size_t wanted = narrow ? 2 * x.type.bytes() : x.type.bytes();
  require(bytes == wanted, "value ", name, " ", x.type.shape.str(), " is ", wanted, " bytes, room for ", bytes, " was given");
  std::lock_guard<std::mutex> hold(workspace_->mutex());
  deliver_inputs();
  Column& column = *plan_->device().column;
  if (!narrow) {
    column.copy_out(host, address(x), bytes);
    return;
  }
  // bf16 is the upper half of an F32: widen from the back, in place.
  char* at = static_cast<char*>(host);
  column.copy_out(at, address(x), x.type.bytes());
  for (int64_t i = x.type.count(); i-- > 0;) {
    uint16_t half;
    std::memcpy(&half, at + 2 * i, 2);
    uint32_t whole = static_cast<uint32_t>(half) << 16;
    std::memcpy(at + 4 * i, &whole, 4);
  }
}

}  // namespace graft
