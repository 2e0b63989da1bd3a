// A plan bound to a workspace: addresses resolved once, a step block of its own. One thread at a time; the runs themselves
// happen on the device's lanes and allocate nothing.
#pragma once
#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plan.h"
#include "workspace.h"

namespace graft {

// How runs are looked at: from the environment, see session_run.cpp.
struct Diagnosis {
  bool graph, sync, nan;
  Diagnosis();
};

class Session {
 public:
  Session(std::shared_ptr<Plan> plan, std::shared_ptr<Workspace> workspace);

  void write(const std::string& input, const void* host, size_t bytes);
  // Bytes of a resident input from `offset` on.
  void write_part(const std::string& input, size_t offset, const void* host, size_t bytes);
  // Part of the step block on the host, and its bytes: read by every run or left by the last one. The caller writes it between runs.
  std::pair<void*, size_t> numbers(const std::string& name) const;
  // Updates made so far, for all plans of the parameters.
  void updates(int64_t count);
  // An input of the next run: its name and memory of the host of as many bytes as it has.
  struct Next {
    const char* input;
    const void* host;
    size_t bytes;
  };
  // Runs the phases. The next run's inputs are taken meanwhile by columns that enqueue, afterwards by the others; where a loss is not
  // finite they are left, so that what the run read is still there to be looked at.
  void run(int phases, const Next* next = nullptr, int count = 0);
  void read(const std::string& name, void* host, size_t bytes);
  int64_t size(const std::string& name) const { return plan_->readable(name).type.count(); }
  // Name of the first value that is not finite, or "".
  std::string find_nonfinite(int phases);
  // JSON array: node, op, pass, kernel, microseconds.
  std::string profile(int phases);
  // How many sets of phases are replayed from a recording.
  int recordings() const { return static_cast<int>(std::count_if(std::begin(recordings_), std::end(recordings_), [](const auto& r) { return r != nullptr; })); }

 private:
  struct Inlet {  // an input of a column that enqueues
    const Operand* input;
    std::unique_ptr<Feed> feed;
    bool waiting = false;  // was written and not delivered
  };
  const Operand& checked_input(const std::string& name, size_t bytes) const;
  struct Bound {  // addresses of one step
    std::vector<void*> in, out, din;
    Args args;
  };
  void bind();
  bool bound() const;
  void* address(const Operand& operand) const;
  // Calls `body` where a run may take place: on a lane, or for a column that enqueues on this thread, with locks held and forms built.
  template <class Body>
  void hold(Body body);
  template <class Job>
  void named(Job job);
  // Runs `visit(step number)` for the steps of these phases.
  template <class Visit>
  void execute(int phases, Visit visit);
  template <class Visit>
  void enqueue_all(int phases, Visit visit);
  void record(int phases);
  void run_diagnosed(int phases);
  void take(const Next* next, int count);
  bool finite() const;  // the losses of the last run
  void deliver_inputs();  // what was written goes to where the steps read it
  std::string run_and_look(int i);
  std::string nonfinite(const Operand& x);
  void check_present() const;  // the arena of trainables is still this plan's
  bool forms_current();      // under the store's lock: whether every form of the plan is built from the present values
  void build_stale_forms();  // under the store's writer lock
  void prepare_run(int phases);
  bool losses_finite();        // of the forward steps that have run
  void fetch_results();
  int judge(int phases);
  void finish_run(int phases);

  std::shared_ptr<Plan> plan_;
  std::shared_ptr<Workspace> workspace_;
  Buffer resident_, block_memory_;
  HostBuffer mirror_;  // the step block on the host
  StepBlock host_, block_;
  uint64_t bound_generation_ = 0;
  std::optional<uint64_t> forms_version_;  // of the store, for which the plan's forms are known to be current
  std::vector<void*> bound_plain_;
  std::vector<Bound> steps_;
  std::vector<Inlet> inlets_;
  Diagnosis diagnosis_;
  std::unique_ptr<Recording> recordings_[GRAFT_STEP + 1];  // per set of phases
  double host_seconds_ = 0;                                // of the last run, without waiting for a column that enqueues
  bool warm_[GRAFT_STEP + 1] = {};                         // has run before
};

}  // namespace graft
