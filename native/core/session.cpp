#include "session.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <mutex>

#include "json.h"
#include "nearest_name.h"

namespace graft {

Session::Session(std::shared_ptr<Plan> plan, std::shared_ptr<Workspace> workspace)
    : plan_(std::move(plan)), workspace_(std::move(workspace)), block_memory_(*plan_->device().column, StepBlock::bytes(plan_->sizes())),
      mirror_(StepBlock::bytes(plan_->sizes())), host_(StepBlock::at(mirror_.data(), plan_->sizes())),
      block_(StepBlock::at(block_memory_.address(), plan_->sizes())) {
  require(&workspace_->device() == &plan_->device(), "the workspace belongs to another device than the plan");
  new (host_.header) StepHeader();
  for (int i = 0; i < plan_->sizes().losses; i++) host_.loss_weight[i] = 1;
  rows(plan_->sizes().batch, nullptr, nullptr);
  plan_->device().column->copy_in(block_memory_.address(), mirror_.data(), mirror_.size());
  workspace_->reserve(plan_->arena_bytes());
  for (const Step& s : plan_->steps()) {
    Bound b;
    b.in.resize(s.in.size());
    b.out.resize(s.out.size());
    b.din.resize(s.din.size());
    steps_.push_back(std::move(b));
  }
  bound_plain_.resize(plan_->tracked().size());
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

bool Session::bound() const {
  if (bound_generation_ != workspace_->generation()) return false;
  for (size_t i = 0; i < bound_plain_.size(); i++)
    if (bound_plain_[i] != plan_->params().plain(plan_->tracked()[i])) return false;
  return true;
}

void Session::bind() {
  for (size_t i = 0; i < steps_.size(); i++) {
    const Step& s = plan_->steps()[i];
    Bound& b = steps_[i];
    for (size_t k = 0; k < s.in.size(); k++) b.in[k] = address(s.in[k]);
    for (size_t k = 0; k < s.out.size(); k++) b.out[k] = address(s.out[k]);
    for (size_t k = 0; k < s.din.size(); k++) b.din[k] = address(s.din[k]);
    b.args = {b.in.data(), b.out.data(), b.din.data(), address(s.dout), address(s.dout2), address(s.residual),
              address(s.dresidual), address(s.activated), address(s.scratch), &block_};
  }
  for (size_t i = 0; i < bound_plain_.size(); i++) bound_plain_[i] = plan_->params().plain(plan_->tracked()[i]);
  bound_generation_ = workspace_->generation();
}

void Session::write(const std::string& name, const void* host, size_t bytes) {
  const Operand* x = plan_->input(name);
  require(x, "no input ", name, "; the plan has: ", plan_->input_names());
  require(bytes == x->type.bytes(), "input ", name, " ", x->type.shape.str(), " of ", name_of(x->type.dtype), " takes ", x->type.bytes(), " bytes, ", bytes, " came");
  std::lock_guard<std::mutex> hold(workspace_->mutex());
  plan_->device().column->copy_in(address(*x), host, bytes);
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

void Session::check_present() const {
  require(!plan_->trainables() || plan_->trainables() == plan_->params().present_trainables(),
          "the parameters are now trained by a plan for another set of tensors; compile this plan again");
}

bool Session::forms_current() {
  const Params& params = plan_->params();
  if (forms_version_ == params.version()) return true;
  for (const auto& f : plan_->forms())
    if (f->stale(params)) return false;
  forms_version_ = params.version();
  return true;
}

void Session::build_stale_forms() {
  Params& params = plan_->params();
  if (forms_version_ == params.version()) return;
  for (const auto& f : plan_->forms())
    if (f->stale(params)) f->build(params);
  forms_version_ = params.version();
}

void Session::prepare_run(int phases) {
  check_present();
  if (phases & GRAFT_UPDATE) {
    require(plan_->options().optimizer, "the plan was compiled without an optimizer: it cannot update");
    require(plan_->trainables() != nullptr, "the plan trains nothing: it cannot update");
    host_.header->update = plan_->trainables()->updates + 1;
    dirty_ = true;
  }
  if (const auto& t = plan_->trainables(); t && phases & GRAFT_GRADIENTS) {
    if (plan_->options().accumulate && t->dirty) t->gradients.clear();
    t->dirty = !plan_->options().accumulate;
  }
  Column& column = *plan_->device().column;
  if (dirty_) column.copy_in(block_memory_.address(), mirror_.data(), StepBlock::written_bytes(plan_->sizes()));
  dirty_ = false;
  if (!bound()) bind();
}

// An update with the gradients of a loss that is not finite would spoil every tensor and hide where it began.
bool Session::losses_finite() {
  Column& column = *plan_->device().column;
  const int losses = plan_->sizes().losses;
  column.synchronize();
  column.copy_out(host_.loss, block_.loss, sizeof(float) * losses);
  return std::all_of(host_.loss, host_.loss + losses, [](float loss) { return std::isfinite(loss); });
}

void Session::finish_run(int phases) {
  Params& params = plan_->params();
  Column& column = *plan_->device().column;
  column.synchronize();
  const size_t results = StepBlock::written_bytes(plan_->sizes());
  column.copy_out(mirror_.data() + results, static_cast<char*>(block_memory_.address()) + results, mirror_.size() - results);
  if (phases & GRAFT_UPDATE) {
    plan_->trainables()->updates++;
    for (int p : plan_->updated()) params.touch(p);
  }
  if (phases & GRAFT_FORWARD)
    for (int p : plan_->tracked()) params.touch(p);
  forms_version_ = params.version();  // what a plan changes itself is no source of its forms
}

template <class Visit>
void Session::execute(int phases, Visit visit) {
  require(phases > 0 && phases <= GRAFT_STEP, "phases are ", phases, "; expected a set of GRAFT_FORWARD, GRAFT_GRADIENTS, GRAFT_UPDATE");
  Params& params = plan_->params();
  auto job = [&] {
    auto steps = [&] {
      std::lock_guard<std::mutex> running(workspace_->mutex());
      prepare_run(phases);
      int due = phases;
      bool judged = !(phases & GRAFT_FORWARD);
      for (size_t i = 0; i < steps_.size(); i++) {
        if (!judged && plan_->steps()[i].phase & due & GRAFT_UPDATE) {
          judged = true;
          if (!losses_finite()) {
            due &= ~GRAFT_UPDATE;
            plan_->trainables()->dirty = true;  // gradients that nothing may be added to
          }
        }
        if (plan_->steps()[i].phase & due) visit(static_cast<int>(i));
      }
      finish_run(due);
    };
    for (;;) {
      if (!plan_->changes_params()) {
        std::shared_lock<std::shared_mutex> readers(params.lock());
        if (forms_current()) return steps();
      }
      std::unique_lock<std::shared_mutex> writer(params.lock());
      build_stale_forms();
      if (plan_->changes_params()) return steps();
    }
  };
  plan_->device().lanes.run(job);
}

void Session::run(int phases) {
  execute(phases, [&](int i) { plan_->steps()[i].kernel->run(steps_[i].args); });
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

std::string Session::find_nonfinite(int phases) {
  std::string found;
  Column& column = *plan_->device().column;
  // A packed form is opaque: what it was built from is read. (A result may hide it: the maximum of NaN and 0 is 0 to some.)
  auto check_sources = [&](const Form& form) {
    Params& params = plan_->params();
    for (int p : form.spec().sources) {
      if (p < 0 || !found.empty()) continue;
      const TensorType type{DType::F32, params.shape(p)};
      Buffer value(column, type.bytes());
      params.load(p, value.address());
      if (column.count_nonfinite(value.address(), type) > 0) found = params.name(p);
    }
  };
  auto check = [&](const Operand& x) {
    if (!found.empty() || x.place.space == Place::Space::None || !is_float(x.type.dtype)) return;
    if (x.place.space == Place::Space::Form) check_sources(*plan_->forms()[x.place.index]);
    else if (column.count_nonfinite(address(x), x.type) > 0) found = x.name;
  };
  execute(phases & ~GRAFT_UPDATE, [&](int i) {
    if (!found.empty()) return;
    const Step& s = plan_->steps()[i];
    for (const auto& x : s.in) check(x);
    if (!found.empty()) return;
    s.kernel->run(steps_[i].args);
    column.synchronize();
    if (s.pass != "backward" || s.op == "convert" || s.op == "sum")
      if (!s.out.empty()) check(s.out[0]);
    for (const auto& x : s.din) check(x);
    check(s.dresidual);
  });
  return found;
}

std::string Session::profile(int phases) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> micros(steps_.size(), -1);
  Column& column = *plan_->device().column;
  execute(phases, [&](int i) {
    auto start = Clock::now();
    plan_->steps()[i].kernel->run(steps_[i].args);
    column.synchronize();
    micros[i] = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  });
  Json json;
  json.begin_array();
  for (size_t i = 0; i < steps_.size(); i++) {
    if (micros[i] < 0) continue;
    const Step& s = plan_->steps()[i];
    json.begin_object().field("node", s.node).field("op", s.op).field("pass", s.pass).field("kernel", s.kernel->name()).field("microseconds", micros[i]).end_object();
  }
  json.end_array();
  return json.text();
}

}  // namespace graft
