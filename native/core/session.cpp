#include "session.h"

#include <cstring>
#include <mutex>

#include "json.h"
#include "nearest_name.h"

namespace graft {

Session::Session(std::shared_ptr<Plan> plan, std::shared_ptr<Workspace> workspace) try
    : plan_(plan), workspace_(std::move(workspace)), block_memory_(*plan_->device().column, StepBlock::bytes(plan_->sizes())),
      mirror_(*plan_->device().column, StepBlock::bytes(plan_->sizes())), host_(StepBlock::at(mirror_.data(), plan_->sizes())),
      block_(StepBlock::at(block_memory_.address(), plan_->sizes())) {
  require(&workspace_->device() == &plan_->device(), "the workspace belongs to another device than the plan");
  std::memset(mirror_.data(), 0, mirror_.size());
  new (host_.header) StepHeader();
  for (int i = 0; i < plan_->sizes().losses; i++) host_.loss_weight[i] = 1;
  host_.header->valid_rows = plan_->sizes().batch;
  for (int i = 0; i < plan_->sizes().batch; i++) host_.row_weight[i] = 1, host_.row_id[i] = i;
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
  workspace_->reserve(plan_->arena_bytes());
  resident_ = Buffer(column, plan_->memory().resident);
  if (column.enqueues())
    for (const auto& [name, input] : plan_->inputs())
      if (input.place.space == Place::Space::Workspace) inlets_.push_back({&input, column.feed(input.type.bytes())});
} catch (const Error& e) {
  if (e.status() != GRAFT_OUT_OF_MEMORY) throw;
  throw with_groups(e, plan->memory(), plan->sizes().batch, plan->device().column->available_bytes(), plan->memory().step_block + plan->memory().resident);
}

void* Session::address(const Operand& x) const {
  const auto& t = plan_->trainables();
  switch (x.place.space) {
    case Place::Space::None: return nullptr;
    case Place::Space::Workspace: return workspace_->at(x.place.offset);
    case Place::Space::Resident: return resident_.at(x.place.offset);
    case Place::Space::Form: return plan_->forms()[x.place.index]->address(static_cast<int>(x.place.offset));
    case Place::Space::Plain: return plan_->params().plain(x.place.index);
    case Place::Space::Weights: return t->weights.at(x.place.offset);
    case Place::Space::Gradients: return t->gradients.at(x.place.offset);
    case Place::Space::Moment0: return t->moment[0].at(x.place.offset);
    case Place::Space::Moment1: return t->moment[1].at(x.place.offset);
    case Place::Space::Average: return t->average.at(x.place.offset);
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

void Session::write_part(const std::string& name, size_t offset, const void* host, size_t bytes) {
  const Operand* x = plan_->input(name);
  require(x && x->place.space == Place::Space::Resident, name, " is no resident input of the plan");
  const size_t all = x->type.bytes();
  require(offset <= all && bytes <= all - offset, "resident input ", name, " has ", all, " bytes, ", bytes, " came for byte ", offset, " on");
  std::lock_guard<std::mutex> hold(workspace_->mutex());
  plan_->device().column->copy_in(static_cast<char*>(address(*x)) + offset, host, bytes);
}

void Session::deliver_inputs() {
  for (Inlet& inlet : inlets_) {
    if (!inlet.waiting) continue;
    inlet.feed->deliver(address(*inlet.input));
    inlet.waiting = false;
  }
}

std::pair<void*, size_t> Session::numbers(const std::string& name) const {
  const StepSizes& n = plan_->sizes();
  const size_t groups = n.groups, losses = n.losses, batch = n.batch, trainables = n.trainables;
  StepHeader& h = *host_.header;
  const std::pair<const char*, std::pair<void*, size_t>> parts[] = {
      {"seed", {&h.seed, 8}}, {"visit", {&h.visit, 4}}, {"valid_rows", {&h.valid_rows, 4}}, {"normalizer", {&h.normalizer, 4}}, {"clip", {&h.clip_norm, 4}},
      {"rate", {host_.rate, 4 * groups}}, {"decay", {host_.decay, 4 * groups}}, {"anchor", {host_.anchor, 4 * groups}},
      {"loss_weight", {host_.loss_weight, 4 * losses}}, {"row_weight", {host_.row_weight, 4 * batch}}, {"row_id", {host_.row_id, 8 * batch}},
      {"loss", {host_.loss, 4 * losses}}, {"correct", {host_.correct, 4 * losses}}, {"gradient_norm", {host_.gradient_norm, 4}},
      {"host_seconds", {const_cast<double*>(&host_seconds_), 8}},
      {"update_norms", {host_.update_norms, 16 * trainables}}};
  require(name != "update_norms" || plan_->options().update.watch, "the plan's optimizer was compiled without watch=1");
  for (const auto& [key, part] : parts)
    if (name == key) return part;
  std::vector<std::string> names;
  for (const auto& [key, part] : parts) names.push_back(key);
  throw Error(GRAFT_INVALID_ARGUMENT, text("the step block has no ", name, "; nearest is ", nearest_name(name, names)));
}

void Session::updates(int64_t count) {
  require(plan_->trainables() != nullptr, "updates: the plan trains nothing");
  require(count >= 0 && count <= int64_t{1} << 53, "updates is ", count, "; expected a number from 0 to 2^53");
  std::unique_lock<std::shared_mutex> hold(plan_->params().lock());
  check_present();
  plan_->trainables()->updates = count;
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
