// A compiled plan: prepared kernels over places, immutable. Sessions give the addresses.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "column.h"
#include "device.h"
#include "graph.h"
#include "params.h"
#include "plan_options.h"

namespace graft {

// Where an operand lies; the address follows when a session is bound.
struct Place {
  enum class Space : uint8_t { None, Workspace, Resident, Form, Plain, Weights, Gradients, Moment0, Moment1, Average, Anchor, Mask };
  Space space = Space::None;
  int index = 0;      // Form: number among the plan's forms. Plain: parameter id
  size_t offset = 0;  // bytes; Form: output number
};

struct Operand {
  Place place;
  TensorType type;
  std::string name;
};

struct Step {
  std::unique_ptr<Kernel> kernel;
  int phase = 0;
  std::string node, op, pass;
  std::vector<Operand> in, out, din;
  std::vector<Operand> spared;  // Backward: activations that no step keeps, and this one would need if no parameter were frozen
  std::vector<GradMode> modes;
  Operand dout, dout2, residual, dresidual, activated, scratch;
  Epilogue epilogue;
  bool folded = false;
  bool without_gradients = false;  // takes place in runs without GRAFT_GRADIENTS alone
  bool due(int phases) const { return (phase & phases) && !(without_gradients && phases & GRAFT_GRADIENTS); }
};

struct PlanMemory {
  size_t arena = 0;          // activations, their gradients and scratch, in the workspace
  size_t activations = 0;    // what the arena would be without sharing addresses, for judging the packing
  size_t packed = 0;         // forms of constant parameters that this plan borrows
  size_t packed_new = 0;     // of these, what no other plan had built
  size_t trained = 0, gradients = 0, moments = 0, anchor = 0;
  size_t trained_new = 0;    // of these four, what this plan takes anew; counted before they are
  size_t plain = 0;          // statistics and masked tensors held plain
  size_t step_block = 0;
  size_t resident = 0;       // inputs that stay, in memory of each session
  size_t feeds = 0;          // of columns that enqueue: the inputs of the next run
  size_t total() const { return arena + packed + trained + gradients + moments + anchor + plain + step_block + resident + feeds; }
};

// A refusal of memory after check_memory() let the plan pass, as somebody else has taken it since: told with the plan's groups and the
// batch that would fit into the `free` bytes, of which `fixed` are needed whatever the batch. Other errors stay.
Error with_groups(const Error& refused, const PlanMemory& memory, int batch, size_t free, size_t fixed);

class Plan {
 public:
  static std::shared_ptr<Plan> compile(std::shared_ptr<Device> device, const Graph& graph, std::shared_ptr<Params> params,
                                       const std::string& options);

  const std::vector<Step>& steps() const { return steps_; }
  const Operand* input(const std::string& name) const;
  const std::map<std::string, Operand>& inputs() const { return inputs_; }
  std::string input_names() const;
  // An output, a kept value or "gradient:NAME"; throws naming the nearest.
  const Operand& readable(const std::string& name) const;
  const StepSizes& sizes() const { return sizes_; }
  const PlanOptions& options() const { return options_; }
  // What was asked for; options().compute is what is computed: F32 where the processor has no bf16.
  DType asked_precision() const { return asked_precision_; }
  const PlanMemory& memory() const { return memory_; }
  size_t arena_bytes() const { return memory_.arena; }
  Device& device() const { return *device_; }
  Params& params() const { return *params_; }
  const std::shared_ptr<Trainables>& trainables() const { return trainables_; }
  const std::vector<std::shared_ptr<Form>>& forms() const { return forms_; }
  // Parameters that GRAFT_UPDATE and tracked norms change.
  const std::vector<int>& updated() const { return updated_; }
  const std::vector<int>& tracked() const { return tracked_; }
  bool changes_params() const { return !updated_.empty() || !tracked_.empty(); }
  // In a few words, for messages.
  std::string title() const;
  std::string describe() const;
  std::string memory_text() const;

 private:
  friend class Compiler;
  std::shared_ptr<Device> device_;
  std::shared_ptr<Params> params_;
  std::shared_ptr<Trainables> trainables_;
  std::vector<std::shared_ptr<Form>> forms_;
  std::vector<Step> steps_;
  std::map<std::string, Operand> inputs_, readable_;
  std::vector<int> updated_, tracked_;
  StepSizes sizes_;
  PlanOptions options_;
  DType asked_precision_ = DType::F32;
  PlanMemory memory_;
};

}  // namespace graft
