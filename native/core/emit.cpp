// The first pass of compilation: the draft's values, which nodes are live, then forward and backward steps, and what stays
// readable.
#include "emission.h"
#include "nearest_name.h"
#include "passes.h"

namespace graft {

int Emission::new_gradient(int v) {
  DraftValue g;
  g.type = draft.values[v].type;
  g.name = "gradient:" + draft.values[v].name;
  return draft.add(std::move(g));
}

void Emission::add_service(Service service, std::vector<int> in, std::vector<int> out, Phase phase, const std::string& node, const RowRanges& rows) {
  DraftStep s;
  s.kind = DraftStep::Kind::Service;
  s.phase = phase;
  s.node = node;
  s.service.service = service;
  s.service.rows = rows;
  for (int v : in) s.service.inputs.push_back(draft.values[v].type);
  for (int v : out) s.service.outputs.push_back(draft.values[v].type);
  s.in = std::move(in);
  s.out = std::move(out);
  draft.steps.push_back(std::move(s));
}

DType Emission::compute(const Node& node) const {
  bool any = false;
  for (size_t i = 0; i < node.inputs.size(); i++) {
    const Role role = node.role(i);
    if (role == Role::Full) return DType::F32;
    if (role != Role::Data || node.inputs[i] < 0) continue;
    const DraftValue& value = draft.values[draft.value_of[node.inputs[i]]];
    if (value.kind == DraftValue::Kind::Input || value.kind == DraftValue::Kind::Resident || value.kind == DraftValue::Kind::Parameter || value.type.dtype != DType::F32) return draft.options.compute;
    any = true;
  }
  return any ? DType::F32 : draft.options.compute;
}

namespace {

class Emitter {
 public:
  Emitter(Draft& draft, const std::vector<int>& param_ids) : d_(draft), e_{draft, {}, {}, {}, {}, {}, {}}, param_ids_(param_ids) {}

  void run() {
    make_values();
    mark_live();
    emit_forward(e_);
    if (d_.options.train) emit_backward(e_);
    keep_results();
  }

 private:
  void make_values() {
    const auto& o = d_.options;
    for (const auto& r : o.resident)
      require(d_.graph.find(r) >= 0 && d_.graph.value(d_.graph.find(r)).kind == Value::Kind::Input, "resident ", r, " is no input of the graph");
    std::map<std::string, int> items;
    for (size_t i = 0; i < o.trained.size(); i++) items[o.trained[i].name] = static_cast<int>(i);
    std::vector<std::string> parameters;
    for (size_t v = 0; v < d_.graph.values().size(); v++) {
      const Value& value = d_.graph.value(static_cast<int>(v));
      DraftValue made;
      made.type = value.type;
      made.name = value.name;
      if (value.kind == Value::Kind::Input) {
        made.kind = o.resident.count(value.name) ? DraftValue::Kind::Resident : DraftValue::Kind::Input;
        require(made.kind == DraftValue::Kind::Resident || value.type.shape[0] % o.batch == 0, "input ", value.name, " ", value.type.shape.str(), ": the first dimension is no multiple of the batch, ", o.batch);
      } else if (value.kind == Value::Kind::Parameter) {
        made.kind = DraftValue::Kind::Parameter;
        made.param = param_ids_[v];
        parameters.push_back(value.name);
      } else if (value.kind == Value::Kind::Result && is_float(value.type.dtype) && !d_.graph.nodes()[value.node].op->loss) {
        made.type.dtype = e_.compute(d_.graph.nodes()[value.node]);
      }
      int id = d_.add(std::move(made));
      d_.value_of.push_back(id);
      if (value.kind == Value::Kind::Parameter) {
        auto it = items.find(value.name);
        if (it != items.end()) e_.item_of[id] = it->second;
      }
    }
    for (const auto& t : o.trained)
      require(d_.graph.find(t.name) >= 0 && d_.graph.value(d_.graph.find(t.name)).kind == Value::Kind::Parameter, "trained parameter ", t.name,
              " is not in the graph; nearest is ", nearest_name(t.name, parameters));
    for (const auto& t : o.tracked)
      require(is_statistic(t), "tracked statistic ", t, " belongs to no batch norm of the graph; nearest is ", nearest_name(t, parameters));
  }

  bool is_statistic(const std::string& name) const {
    for (const Node& node : d_.graph.nodes())
      for (int k = 3; node.op->statistics && k < 5; k++)
        if (d_.graph.value(node.inputs[k]).name == name) return true;
    return false;
  }

  int find_result(const std::string& name) const {
    int v = d_.graph.find(name);
    if (v < 0) {
      std::vector<std::string> known;
      for (const auto& value : d_.graph.values())
        if (value.kind != Value::Kind::Saved) known.push_back(value.name);
      throw Error(GRAFT_INVALID_ARGUMENT, text("kept value ", name, " is not in the graph; nearest is ", nearest_name(name, known)));
    }
    return v;
  }

  void mark_live() {
    e_.live.assign(d_.graph.nodes().size(), false);
    std::vector<int> open;
    auto want = [&](int v) {
      int n = d_.graph.value(v).node;
      if (n >= 0 && !e_.live[n]) e_.live[n] = true, open.push_back(n);
    };
    for (const auto& o : d_.graph.outputs()) want(o.second);
    for (const auto& k : d_.options.kept) want(find_result(k));
    for (size_t n = 0; n < d_.graph.nodes().size(); n++)
      if (d_.graph.nodes()[n].op->loss) want(d_.graph.nodes()[n].outputs[0]);
    while (!open.empty()) {
      int n = open.back();
      open.pop_back();
      for (int v : d_.graph.nodes()[n].inputs)
        if (v >= 0) want(v);
    }
  }

  void keep_results() {
    d_.gradient_of.resize(d_.values.size(), -1);
    auto keep = [&](int graph_value) {
      int v = d_.value_of[graph_value];
      d_.values[d_.root(v)].keep = true;
      if (d_.gradient_of[v] >= 0) d_.values[d_.root(d_.gradient_of[v])].keep = true;
    };
    for (const auto& o : d_.graph.outputs()) keep(o.second);
    for (const auto& k : d_.options.kept) keep(find_result(k));
    for (const auto& t : d_.options.trained) {
      int v = d_.value_of[d_.graph.find(t.name)];
      require(e_.gradient_value.count(v), "trained parameter ", t.name, " gets no gradient: no loss depends on it");
      d_.gradient_of[v] = e_.gradient_value[v];
    }
  }

  Draft& d_;
  Emission e_;
  const std::vector<int>& param_ids_;
};

}  // namespace

void emit_steps(Draft& draft, const std::vector<int>& param_ids) { Emitter(draft, param_ids).run(); }

}  // namespace graft
