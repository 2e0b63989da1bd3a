// What the parts of emission share: emit.cpp begins and ends, emit_forward.cpp and emit_backward.cpp add the steps.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "draft.h"

namespace graft {

struct EmittedNode {
  const OpDef* op = nullptr;  // null: a conversion
  std::string name;
  std::vector<int> in, out;
  Request request;  // of the forward pass
};

struct Emission {
  Draft& draft;
  std::vector<bool> live;             // per node of the graph: a loss, an output or a kept value needs it
  std::map<int, int> item_of;         // draft value of a trained parameter -> number among the trainables
  std::set<int> needs_gradient;       // values that a trained parameter flows into, and these parameters themselves
  std::vector<EmittedNode> nodes;     // in the order of forward
  std::map<int, std::vector<int>> contributions;  // value -> the parts of its gradient so far; losses write theirs in forward
  std::map<int, int> gradient_value;  // trained parameter -> the value that stands for its slot in the gradients

  bool trained(int v) const { return item_of.count(v) > 0; }
  bool needs(int v) const { return v >= 0 && needs_gradient.count(v) > 0; }
  bool is_parameter(int v) const { return v >= 0 && draft.values[v].kind == DraftValue::Kind::Parameter; }
  // The type a node computes in: the plan's, but F32 behind a global pool: tensors are small there, and a rounding of the features
  // that a head is trained on is not averaged out by anything later.
  DType compute(const Node& node) const;
  // A value for a gradient of v, of v's type.
  int new_gradient(int v);
  void add_service(Service service, std::vector<int> in, std::vector<int> out, Phase phase, const std::string& node, const RowRanges& rows = {});
  void add_conversion(int from, int to, Phase phase) { add_service(Service::Convert, {from}, {to}, phase, draft.values[to].name); }
};

void emit_forward(Emission& emission);
void emit_backward(Emission& emission);

}  // namespace graft
