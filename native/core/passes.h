// The passes of compilation over a draft, in the order in which compile.cpp runs them. Each throws Error naming the node.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "draft.h"
#include "lifetimes.h"
#include "plan.h"

namespace graft {

// What a plan uses of the parameter store.
struct StoreUse {
  TrainSpec trained;
  std::vector<int> plain;  // parameters whose truth must be plain memory
  std::vector<std::shared_ptr<Form>> forms;
};

// The graph with losses that take the layer in front of them along.
Graph fuse_losses(const Graph& graph, const PlanOptions& options);

// Forward for what is used, backward where a gradient is needed. `param_ids`: per value of the graph its id in the store, or -1.
void emit_steps(Draft& draft, const std::vector<int>& param_ids);

// Neighbouring steps become one: epilogues and folded norms.
void fuse_steps(Draft& draft);

// Results that backward reads for their activation's sign alone are kept as a bit an element.
void keep_signs(Draft& draft);

// The optimizer, masked rows back into their tensors, clearing of what was added up. Gives the items of `trained` their places.
void add_update(Draft& draft, const Params& params, TrainSpec& trained);

// A kernel for every step, and every parameter in the form that its reader wants; adds to `use.forms`.
void prepare_steps(Draft& draft, Params& params, StoreUse& use);

// Then lay_out() of lifetimes.h: the size of the arena and every value's place in it.

// Counts what the plan uses of the store into `memory`, whose arena and step block are known. Throws OUT_OF_MEMORY where what
// it newly takes is over `limit` bytes; the message tells which batch would fit instead of this one. Under the store's lock.
void check_memory(PlanMemory& memory, const StoreUse& use, const Params& params, size_t limit, int batch);

// The draft as a plan's steps. `trainables` is null where nothing is trained.
struct PlacedSteps {
  std::vector<Step> steps;
  std::map<std::string, Operand> inputs, readable;  // readable: outputs, kept values, "gradient:NAME"
};
PlacedSteps place_steps(Draft& draft, const Layout& layout, const Trainables* trainables);

}  // namespace graft
