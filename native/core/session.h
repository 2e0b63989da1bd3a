// A plan bound to a workspace: addresses resolved once, a step block of its own. One thread at a time; the runs themselves
// happen on the device's lanes and allocate nothing.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plan.h"
#include "workspace.h"

namespace graft {

class Session {
 public:
  Session(std::shared_ptr<Plan> plan, std::shared_ptr<Workspace> workspace);

  void write(const std::string& input, const void* host, size_t bytes);
  void rows(int valid, const float* weights, const int64_t* ids);
  void set(const std::string& key, int index, double value);
  void run(int phases);
  void results(double* values, int count) const;
  void update_norms(double* values, int count) const;
  void read(const std::string& name, void* host, size_t bytes);
  int64_t size(const std::string& name) const { return plan_->readable(name).type.count(); }
  // Name of the first value that is not finite, or "".
  std::string find_nonfinite(int phases);
  // JSON array: node, op, pass, kernel, microseconds.
  std::string profile(int phases);

 private:
  struct Bound {  // addresses of one step
    std::vector<void*> in, out, din;
    Args args;
  };
  void bind();
  bool bound() const;
  void* address(const Operand& operand) const;
  // Runs `visit(step number)` around the steps of these phases, on a lane, with locks held and addresses right.
  template <class Visit>
  void execute(int phases, Visit visit);
  void check_present() const;  // the arena of trainables is still this plan's
  bool forms_current();      // under the store's lock: whether every form of the plan is built from the present values
  void build_stale_forms();  // under the store's writer lock
  void prepare_run(int phases);
  bool losses_finite();        // of the forward steps that have run
  void finish_run(int phases);

  std::shared_ptr<Plan> plan_;
  std::shared_ptr<Workspace> workspace_;
  Buffer block_memory_;
  std::vector<char> mirror_;  // the step block on the host
  StepBlock host_, block_;
  bool dirty_ = true;
  uint64_t bound_generation_ = 0;
  std::optional<uint64_t> forms_version_;  // of the store, for which the plan's forms are known to be current
  std::vector<void*> bound_plain_;
  std::vector<Bound> steps_;
};

}  // namespace graft
