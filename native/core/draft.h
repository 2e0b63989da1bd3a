// A plan while it is being compiled: values without addresses and steps without kernels. Each pass rewrites it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "column.h"
#include "graph.h"
#include "plan_options.h"

namespace graft {

struct DraftValue {
  enum class Kind {
    Arena,      // lives in the workspace between its first writer and its last reader
    Input,      // written by the caller before a run; never overwritten by the plan
    Resident,   // an input in memory of the session itself: written once for many runs
    Parameter,  // of the parameter store
    Gradient,   // of a trained parameter, in the arena of trainables
    Packed,     // form of a constant parameter
  };
  Kind kind = Kind::Arena;
  TensorType type;
  std::string name;
  int param = -1;      // Parameter, Gradient: id in the store
  int item = -1;       // Gradient: number among the trainables
  int form = -1;       // Packed: number among the plan's forms
  int form_output = 0;
  int alias = -1;      // shares the bytes of this value
  bool keep = false;   // readable after the run
};

enum Phase { kForward = GRAFT_FORWARD, kGradients = GRAFT_GRADIENTS, kUpdate = GRAFT_UPDATE };

struct DraftStep {
  enum class Kind { Op, Service, Optimizer, Pack };
  Kind kind = Kind::Op;
  Phase phase = kForward;
  std::string node;
  Request request;            // Op
  ServiceRequest service;     // Service
  OptimizerRequest optimizer; // Optimizer
  PackSpec pack;              // Pack
  std::vector<int> in, out, din;  // value ids, -1 where there is none
  int dout = -1, dout2 = -1, residual = -1, dresidual = -1, activated = -1, scratch = -1;
  std::vector<int> folded_norm;   // values gamma, beta, mean, variance of a norm folded into this step's weight
  double folded_eps = 0;
  std::vector<int> spared;        // Backward: values that would be read if no parameter were frozen; lay_out() leaves those that nobody keeps
  int item = -1;                  // ScatterRows: the trainable whose live rows are read from the arena of trainables
  std::unique_ptr<Kernel> kernel;
  bool without_gradients = false; // takes place in runs without kGradients alone, where another step does its work
  bool removed = false;

  template <class Visit>  // visit(value id) for everything this step reads
  void each_read(Visit visit) const {
    for (int v : in) if (v >= 0) visit(v);
    if (kind == Kind::Op && request.pass == Pass::Backward)
      for (int v : out) if (v >= 0) visit(v);
    for (int v : {dout, dout2, residual, activated}) if (v >= 0) visit(v);
    for (size_t i = 0; i < din.size(); i++)
      if (din[i] >= 0 && request.modes[i] == GradMode::Accumulate) visit(din[i]);
  }
  template <class Visit>  // visit(value id) for everything this step writes
  void each_write(Visit visit) const {
    if (kind != Kind::Op || request.pass != Pass::Backward)
      for (int v : out) if (v >= 0) visit(v);
    for (int v : din) if (v >= 0) visit(v);
    for (int v : {dresidual, scratch}) if (v >= 0) visit(v);
  }
};

struct Draft {
  const Graph& graph;
  const PlanOptions& options;
  Column& column;
  std::vector<DraftValue> values;
  std::vector<DraftStep> steps;
  std::vector<int> value_of;  // per graph value: draft value
  std::vector<int> gradient_of;  // per draft value: its whole gradient, or -1
  int losses = 0;

  int add(DraftValue value) {
    values.push_back(std::move(value));
    return static_cast<int>(values.size()) - 1;
  }
  // The value whose bytes v really names.
  int root(int v) const {
    while (values[v].alias >= 0) v = values[v].alias;
    return v;
  }
};

}  // namespace graft
