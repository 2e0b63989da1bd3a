// Runs of a session: addresses, the store's forms, the steps one by one or from a recording, and what a run found.
//
// Environment, read when a session is made:
//   GRAFT_GRAPH=0  enqueues every step each time where the column could replay a recording
//   GRAFT_SYNC=1   waits after every step, so that a fault is that of the step it is told of
//   GRAFT_NAN=1    looks after every step for a NaN or infinity and stops there
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "json.h"
#include "session.h"

namespace graft {
namespace {

bool asked(const char* variable, bool otherwise) {
  const char* given = std::getenv(variable);
  return given && *given ? std::strcmp(given, "0") != 0 : otherwise;
}

}  // namespace

Diagnosis::Diagnosis() : graph(asked("GRAFT_GRAPH", true)), sync(asked("GRAFT_SYNC", false)), nan(asked("GRAFT_NAN", false)) {}

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
  for (auto& recording : recordings_) recording.reset();  // of the addresses before
  bound_generation_ = workspace_->generation();
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
  const int valid = host_.header->valid_rows, batch = plan_->sizes().batch;
  require(valid >= 1 && valid <= batch, "valid rows are ", valid, "; expected 1 to the batch, ", batch);
  check_present();
  if (phases & GRAFT_UPDATE) {
    require(plan_->options().optimizer, "the plan was compiled without an optimizer: it cannot update");
    require(plan_->trainables() != nullptr, "the plan trains nothing: it cannot update");
    host_.header->update = plan_->trainables()->updates + 1;
  }
  if (const auto& t = plan_->trainables(); t && phases & GRAFT_GRADIENTS) {
    if (plan_->options().accumulate && t->dirty) t->gradients.clear();
    t->dirty = !plan_->options().accumulate;
  }
  Column& column = *plan_->device().column;
  if (column.enqueues()) {
    const bool judged = (phases & GRAFT_FORWARD) && (phases & GRAFT_UPDATE);
    host_.header->judged_losses = judged ? plan_->sizes().losses : 0;
  } else {
    column.copy_in(block_memory_.address(), mirror_.data(), StepBlock::written_bytes(plan_->sizes()));
  }
  if (!bound()) bind();
  deliver_inputs();
}

// An update with the gradients of a loss that is not finite would spoil every tensor and hide where it began.
bool Session::losses_finite() {
  Column& column = *plan_->device().column;
  column.synchronize();
  column.copy_out(host_.loss, block_.loss, sizeof(float) * plan_->sizes().losses);
  return finite();
}

void Session::fetch_results() {
  Column& column = *plan_->device().column;
  const size_t written = StepBlock::written_bytes(plan_->sizes());
  column.enqueue_out(mirror_.data() + written, static_cast<char*>(block_memory_.address()) + written, mirror_.size() - written);
}

// What of the phases took place, now that the results are there.
int Session::judge(int phases) {
  if (host_.header->judged_losses == 0 || finite()) return phases;
  plan_->trainables()->dirty = true;
  return phases & ~GRAFT_UPDATE;
}

void Session::finish_run(int phases) {
  Params& params = plan_->params();
  if (phases & GRAFT_UPDATE) {
    plan_->trainables()->updates++;
    for (int p : plan_->updated()) params.touch(p);
  }
  if (phases & GRAFT_FORWARD)
    for (int p : plan_->tracked()) params.touch(p);
  forms_version_ = params.version();  // what a plan changes itself is no source of its forms
}

template <class Body>
void Session::hold(Body body) {
  Params& params = plan_->params();
  auto job = [&] {
    auto alone = [&] {
      std::lock_guard<std::mutex> running(workspace_->mutex());
      body();
    };
    for (;;) {
      if (!plan_->changes_params()) {
        std::shared_lock<std::shared_mutex> readers(params.lock());
        if (forms_current()) return alone();
      }
      std::unique_lock<std::shared_mutex> writer(params.lock());
      build_stale_forms();
      if (plan_->changes_params()) return alone();
    }
  };
  if (plan_->device().column->enqueues()) return named(job);
  plan_->device().lanes.run(job);
}

// What a run of an enqueueing column fails with is told with the plan, as a fault may show long after its kernel was launched.
template <class Job>
void Session::named(Job job) {
  try {
    job();
  } catch (const Error& e) {
    if (e.status() != GRAFT_INTERNAL) throw;
    throw Error(e.status(), plan_->device().column->blame(text("plan ", plan_->title(), ": ", e.what())));
  }
}

template <class Visit>
void Session::execute(int phases, Visit visit) {
  require(phases > 0 && phases <= GRAFT_STEP, "phases are ", phases, "; expected a set of GRAFT_FORWARD, GRAFT_GRADIENTS, GRAFT_UPDATE");
  hold([&] {
    prepare_run(phases);
    Column& column = *plan_->device().column;
    if (column.enqueues()) {
      enqueue_all(phases, visit);
      column.synchronize();
      return finish_run(judge(phases));
    }
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
      if (plan_->steps()[i].due(due)) visit(static_cast<int>(i));
    }
    column.synchronize();
    fetch_results();
    finish_run(due);
  });
}

// The whole run of an enqueueing column, with nothing that differs from run to run but what lies in the step block.
template <class Visit>
void Session::enqueue_all(int phases, Visit visit) {
  plan_->device().column->enqueue_in(block_memory_.address(), mirror_.data(), StepBlock::written_bytes(plan_->sizes()));
  for (size_t i = 0; i < steps_.size(); i++)
    if (plan_->steps()[i].due(phases)) visit(static_cast<int>(i));
  fetch_results();
}

void Session::take(const Next* next, int count) {
  for (int i = 0; i < count; i++) write(next[i].input, next[i].host, next[i].bytes);
}

void Session::run(int phases, const Next* next, int count) {
  const auto step = [this](int i) { plan_->steps()[i].kernel->run(steps_[i].args); };
  for (int i = 0; i < count; i++) checked_input(next[i].input, next[i].bytes);  // before anything runs
  const bool judged = phases & GRAFT_FORWARD;
  if (!plan_->device().column->enqueues() || !diagnosis_.graph || diagnosis_.sync || diagnosis_.nan) {
    if (diagnosis_.sync || diagnosis_.nan) run_diagnosed(phases);
    else execute(phases, step);
    if (!judged || finite()) take(next, count);
    return;
  }
  require(phases > 0 && phases <= GRAFT_STEP, "phases are ", phases, "; expected a set of GRAFT_FORWARD, GRAFT_GRADIENTS, GRAFT_UPDATE");
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  Clock::duration waited{};
  hold([&] {
    prepare_run(phases);
    Column& column = *plan_->device().column;
    if (!recordings_[phases] && warm_[phases]) record(phases);
    if (recordings_[phases]) recordings_[phases]->replay();
    else enqueue_all(phases, step);
    warm_[phases] = true;  // kernels are loaded when they are launched first, which a recording may not do
    take(next, count);
    const auto enqueued = Clock::now();
    column.synchronize();
    waited = Clock::now() - enqueued;
    if (judged && !finite())
      for (Inlet& inlet : inlets_) inlet.waiting = false;  // what was taken meanwhile
    finish_run(judge(phases));
  });
  host_seconds_ = std::chrono::duration<double>(Clock::now() - start - waited).count();
}

bool Session::finite() const {
  return std::all_of(host_.loss, host_.loss + plan_->sizes().losses, [](float loss) { return std::isfinite(loss); });
}

// Where a run cannot be recorded its steps are enqueued each time, which is slower and said so.
void Session::record(int phases) {
  try {
    recordings_[phases] = plan_->device().column->record(
        [&] { enqueue_all(phases, [this](int i) { plan_->steps()[i].kernel->run(steps_[i].args); }); });
  } catch (const Error& e) {
    std::fprintf(stderr, "graft: plan %s cannot be recorded, every step of it is launched each time: %s\n", plan_->title().c_str(), e.what());
    diagnosis_.graph = false;
  }
}

// The name of x where it holds a NaN or infinity, else "". A packed form is opaque: what it was built from is read. (A result may hide
// it: the maximum of NaN and 0 is 0 to some.)
std::string Session::nonfinite(const Operand& x) {
  Column& column = *plan_->device().column;
  if (x.place.space == Place::Space::None || !is_float(x.type.dtype)) return "";
  if (x.place.space != Place::Space::Form) return column.count_nonfinite(address(x), x.type) > 0 ? x.name : "";
  Params& params = plan_->params();
  for (int p : plan_->forms()[x.place.index]->spec().sources) {
    if (p < 0) continue;
    const TensorType type{DType::F32, params.shape(p)};
    Buffer value(column, type.bytes());
    params.load(p, value.address());
    if (column.count_nonfinite(value.address(), type) > 0) return params.name(p);
  }
  return "";
}

// Runs step i; the first value that is not finite among what it reads and makes, or "".
std::string Session::run_and_look(int i) {
  const Step& s = plan_->steps()[i];
  std::string found;
  auto check = [&](const Operand& x) {
    if (found.empty()) found = nonfinite(x);
  };
  for (const auto& x : s.in) check(x);
  if (!found.empty()) return found;
  s.kernel->run(steps_[i].args);
  plan_->device().column->synchronize();
  if (s.pass != "backward" || s.op == "convert" || s.op == "sum")
    if (!s.out.empty()) check(s.out[0]);
  for (const auto& x : s.din) check(x);
  check(s.dresidual);
  return found;
}

std::string Session::find_nonfinite(int phases) {
  std::string found;
  execute(phases & ~GRAFT_UPDATE, [&](int i) {
    if (found.empty()) found = run_and_look(i);
  });
  return found;
}

void Session::run_diagnosed(int phases) {
  execute(phases, [&](int i) {
    const Step& s = plan_->steps()[i];
    std::string found;
    try {
      if (diagnosis_.nan) found = run_and_look(i);
      else s.kernel->run(steps_[i].args);
      plan_->device().column->synchronize();
    } catch (const Error& e) {
      throw Error(e.status(), text("node ", s.node, " (", s.op, ", ", s.pass, ", ", s.kernel->name(), "): ", e.what()));
    }
    if (found.empty()) return;
    if (const auto& t = plan_->trainables()) t->dirty = true;  // gradients that nothing may be added to
    throw Error(GRAFT_INVALID_ARGUMENT, text("GRAFT_NAN: ", found, " holds a NaN or infinity, seen at node ", s.node, " (", s.op, ", ", s.pass, ")"));
  });
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
