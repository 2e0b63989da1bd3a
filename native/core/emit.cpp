// Passes 2 and 4 of compilation: which values need a gradient, forward for what is used, backward only where it is needed.
#include <algorithm>
#include <map>

#include "draft.h"
#include "nearest_name.h"

namespace graft {
namespace {

class Emitter {
 public:
  Emitter(Draft& draft, const std::vector<int>& param_ids) : d_(draft), param_ids_(param_ids) {}

  void run() {
    make_values();
    mark_live();
    forward();
    if (d_.options.train) backward();
    keep_results();
  }

 private:
  struct Placed {  // a node as emitted
    const OpDef* op = nullptr;  // null: a conversion
    std::string name;
    std::vector<int> in, out;
    Request request;  // of the forward pass
  };

  bool trained(int v) const { return item_of_.count(v) > 0; }

  void make_values() {
    const auto& o = d_.options;
    std::map<std::string, int> items;
    for (size_t i = 0; i < o.trained.size(); i++) items[o.trained[i].name] = static_cast<int>(i);
    std::vector<std::string> parameters;
    for (size_t v = 0; v < d_.graph.values().size(); v++) {
      const Value& value = d_.graph.value(static_cast<int>(v));
      DraftValue made;
      made.type = value.type;
      made.name = value.name;
      if (value.kind == Value::Kind::Input) {
        made.kind = DraftValue::Kind::Input;
        require(value.type.shape[0] % o.batch == 0, "input ", value.name, " ", value.type.shape.str(), ": the first dimension is no multiple of the batch, ", o.batch);
      } else if (value.kind == Value::Kind::Parameter) {
        made.kind = DraftValue::Kind::Parameter;
        made.param = param_ids_[v];
        parameters.push_back(value.name);
      } else if (value.kind == Value::Kind::Result && is_float(value.type.dtype) && !d_.graph.nodes()[value.node].op->loss) {
        made.type.dtype = o.compute;
      }
      int id = d_.add(std::move(made));
      d_.value_of.push_back(id);
      if (value.kind == Value::Kind::Parameter) {
        auto it = items.find(value.name);
        if (it != items.end()) item_of_[id] = it->second;
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

  // A node is live when a loss, an output or a kept value needs it.
  void mark_live() {
    live_.assign(d_.graph.nodes().size(), false);
    std::vector<int> open;
    auto want = [&](int v) {
      int n = d_.graph.value(v).node;
      if (n >= 0 && !live_[n]) live_[n] = true, open.push_back(n);
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

  TensorType type_of(int v) const {
    TensorType t;
    if (v < 0) t.shape.rank = -1;
    else t = d_.values[v].type;
    return t;
  }

  bool is_parameter(int v) const { return v >= 0 && d_.values[v].kind == DraftValue::Kind::Parameter; }

  // v in the type that the role asks for: a conversion is placed once per value and type. Weights that are parameters
  // themselves are converted by the column as it packs them.
  int in_role(int v, Role role) {
    if (v < 0 || role == Role::Exact || (role == Role::Weight && is_parameter(v))) return v;
    DType wanted = role == Role::Full || role == Role::Vector ? DType::F32 : d_.options.compute;
    if (!is_float(d_.values[v].type.dtype) || d_.values[v].type.dtype == wanted) return v;
    auto [it, fresh] = converted_.try_emplace({v, wanted}, -1);
    if (!fresh) return it->second;
    DraftValue made;
    made.type = {wanted, d_.values[v].type.shape};
    made.name = d_.values[v].name + ":" + name_of(wanted);
    int c = it->second = d_.add(std::move(made));
    Placed p;
    p.in = {v};
    p.out = {c};
    add_conversion(v, c, kForward);
    placed_.push_back(std::move(p));
    if (needs(v)) needs_.insert(c);
    return c;
  }

  void add_conversion(int from, int to, Phase phase) {
    DraftStep s;
    s.kind = DraftStep::Kind::Service;
    s.phase = phase;
    s.node = d_.values[to].name;
    s.service = {Service::Convert, {d_.values[from].type}, {d_.values[to].type}, {}, {}};
    s.in = {from};
    s.out = {to};
    d_.steps.push_back(std::move(s));
  }

  bool needs(int v) const { return v >= 0 && needs_.count(v) > 0; }

  void forward() {
    for (const auto& [v, item] : item_of_) needs_.insert(v);
    for (size_t n = 0; n < d_.graph.nodes().size(); n++) {
      const Node& node = d_.graph.nodes()[n];
      if (!live_[n]) continue;
      place(node);
    }
  }

  void place(const Node& node) {
    const auto& o = d_.options;
    Placed p;
    p.op = node.op;
    p.name = node.name;
    for (size_t i = 0; i < node.inputs.size(); i++) {
      const InputDef& def = node.op->inputs[std::min(i, node.op->inputs.size() - 1)];
      p.in.push_back(in_role(node.inputs[i] < 0 ? -1 : d_.value_of[node.inputs[i]], def.role));
    }
    for (int v : node.outputs) p.out.push_back(d_.value_of[v]);
    bool grad = std::any_of(p.in.begin(), p.in.end(), [&](int v) { return needs(v); });
    if (grad) needs_.insert(p.out[0]);

    Request& r = p.request;
    r.op = node.op;
    r.node = node.name;
    r.attributes = node.attributes;
    if (o.train && r.attributes.count("active")) r.attributes["active"] = 1;
    for (int v : p.in) {
      r.inputs.push_back(type_of(v));
      r.constant.push_back(is_parameter(v) && !trained(v) && !o.tracked.count(d_.values[v].name));
      const Role role = node.op->inputs[std::min(r.constant.size(), node.op->inputs.size()) - 1].role;
      if (v >= 0 && role == Role::Weight && !is_parameter(v)) r.weights_may_pack = false;
    }
    for (int v : p.out) r.outputs.push_back(type_of(v));
    r.modes.assign(p.in.size(), GradMode::Ignore);
    r.preferred.resize(p.in.size());
    r.compute = o.compute;
    r.batch = o.batch;
    r.batch_statistics = node.op->statistics && o.tracked.count(d_.values[p.in[3]].name) > 0;
    if (node.op->statistics)
      require(r.batch_statistics == (o.tracked.count(d_.values[p.in[4]].name) > 0), "node ", node.name, ": of ", d_.values[p.in[3]].name, " and ",
              d_.values[p.in[4]].name, " both are tracked or none");
    if (r.batch_statistics) r.attributes["batch_statistics"] = 1;
    if (node.op->loss) r.loss_index = d_.losses++;

    DraftStep s;
    s.node = node.name;
    s.request = r;
    s.in = p.in;
    s.out = p.out;
    if (node.op->view) {
      d_.values[p.out[0]].alias = p.in[0];
    } else {
      if (node.op->loss && o.train && needs(p.in[0])) {
        require(!std::any_of(p.in.begin() + 1, p.in.end(), [&](int v) { return needs(v); }), "node ", node.name, ": a loss passes no gradient to its targets");
        s.request.pass = Pass::Loss;
        s.request.modes[0] = GradMode::Overwrite;
        s.din.assign(p.in.size(), -1);
        s.din[0] = new_gradient(p.in[0]);
        contributions_[p.in[0]].push_back(s.din[0]);
      }
      d_.steps.push_back(std::move(s));
    }
    placed_.push_back(std::move(p));
  }

  int new_gradient(int v) {
    DraftValue g;
    g.type = d_.values[v].type;
    g.name = "gradient:" + d_.values[v].name;
    return d_.add(std::move(g));
  }

  // The whole gradient of v: its contributions added up. -1 where nothing flows.
  int gradient(int v) {
    auto& parts = contributions_[v];
    if (parts.empty()) return -1;
    while (parts.size() > 1) {
      int a = parts[0], b = parts[1];
      DraftStep s;
      s.kind = DraftStep::Kind::Service;
      s.phase = kGradients;
      s.node = d_.values[a].name;
      s.service = {Service::Sum, {d_.values[a].type, d_.values[b].type}, {d_.values[a].type}, {}, {}};
      s.in = {a, b};
      s.out = {new_gradient(v)};
      parts.erase(parts.begin(), parts.begin() + 2);
      parts.insert(parts.begin(), s.out[0]);
      d_.steps.push_back(std::move(s));
    }
    return parts[0];
  }

  void backward() {
    for (size_t i = placed_.size(); i-- > 0;) {
      Placed& p = placed_[i];
      if (p.op && p.op->loss) continue;
      if (!needs(p.out[0])) continue;
      int dy = gradient(p.out[0]);
      if (dy < 0) continue;
      note_gradient(p.out[0], dy);
      std::vector<bool> wanted;
      bool any = false;
      for (int v : p.in) {
        wanted.push_back(needs(v));
        any |= wanted.back();
      }
      if (!any) continue;
      if (!p.op) {
        int dx = new_gradient(p.in[0]);
        add_conversion(dy, dx, kGradients);
        contributions_[p.in[0]].push_back(dx);
      } else if (p.op->view) {
        int dx = new_gradient(p.in[0]);
        d_.values[dx].alias = dy;
        contributions_[p.in[0]].push_back(dx);
      } else if (p.op->passes_gradient && hands_on(p, wanted)) {
        for (size_t k = 0; k < p.in.size(); k++)
          if (wanted[k]) contributions_[p.in[k]].push_back(dy);
      } else {
        place_backward(p, dy, wanted);
      }
    }
    // Parameters that took part as activations: their parts were collected like those of any value.
    for (const auto& [v, item] : item_of_) {
      if (contributions_[v].empty()) continue;
      int whole = gradient(v);
      bool first = gradient_value_.find(v) == gradient_value_.end() && !d_.options.accumulate;
      const PlanOptions::Trained& t = d_.options.trained[item];
      int target = gradient_value(v);
      if (!t.rows.empty()) {
        if (first) first_rows_.insert(v);
        add_to_trained(whole, v);
      } else {
        add_service(first ? Service::Convert : Service::Accumulate, {whole}, {target}, kGradients, t.name, {});
      }
    }
  }

  bool hands_on(const Placed& p, const std::vector<bool>& wanted) const {
    for (size_t k = 0; k < p.in.size(); k++)
      if (wanted[k] && (d_.values[p.in[k]].type.shape != d_.values[p.out[0]].type.shape || trained(p.in[k]))) return false;
    return true;
  }

  void note_gradient(int v, int g) {
    d_.gradient_of.resize(d_.values.size(), -1);
    d_.gradient_of[v] = g;
  }

  void place_backward(const Placed& p, int dy, const std::vector<bool>& wanted) {
    DraftStep s;
    s.phase = kGradients;
    s.node = p.name;
    s.request = p.request;
    s.request.pass = Pass::Backward;
    s.in = p.in;
    s.out = p.out;
    s.dout = dy;
    s.din.assign(p.in.size(), -1);
    std::vector<std::pair<int, int>> add_later;  // temporary -> gradient in the arena of trainables
    std::vector<std::pair<int, int>> narrow;     // a weight that was computed: its gradient in F32 -> in its own type
    for (size_t k = 0; k < p.in.size(); k++) {
      if (!wanted[k]) continue;
      int v = p.in[k];
      if (!trained(v)) {
        s.request.modes[k] = GradMode::Overwrite;
        s.din[k] = new_gradient(v);
        contributions_[v].push_back(s.din[k]);
        const Role role = p.op->inputs[std::min(k, p.op->inputs.size() - 1)].role;
        if (DType type = gradient_type(role, d_.values[v].type.dtype); type != d_.values[v].type.dtype) {
          narrow.emplace_back(new_gradient(v), s.din[k]);
          d_.values[narrow.back().first].type.dtype = type;
          s.din[k] = narrow.back().first;
        }
        continue;
      }
      const PlanOptions::Trained& t = d_.options.trained[item_of_.at(v)];
      bool first = gradient_value_.find(v) == gradient_value_.end() && !d_.options.accumulate;
      int target = gradient_value(v);
      bool whole = t.rows.empty();
      bool twice = std::count(s.din.begin(), s.din.end(), target) > 0;
      if (whole && first) {
        s.request.modes[k] = GradMode::Overwrite;
        s.din[k] = target;
      } else if (whole && !twice && d_.column.accumulates(s.request, k)) {
        s.request.modes[k] = GradMode::Accumulate;
        s.din[k] = target;
      } else {
        s.request.modes[k] = GradMode::Overwrite;
        s.din[k] = new_gradient(v);
        add_later.emplace_back(s.din[k], v);
        if (!whole && first) first_rows_.insert(v);
      }
    }
    OpDef::Reads reads = p.op->backward_reads(s.request.call(), wanted);
    reads.inputs.resize(s.in.size(), false);
    reads.outputs.resize(s.out.size(), false);
    for (size_t k = 0; k < s.in.size(); k++)
      if (!reads.inputs[k]) s.in[k] = -1;
    for (size_t k = 0; k < s.out.size(); k++)
      if (!reads.outputs[k]) s.out[k] = -1;
    d_.steps.push_back(std::move(s));
    for (auto [from, to] : narrow) add_conversion(from, to, kGradients);
    for (auto [temporary, v] : add_later) add_to_trained(temporary, v);
  }

  // The value that stands for a trained parameter's slot in the gradients.
  int gradient_value(int v) {
    auto it = gradient_value_.find(v);
    if (it != gradient_value_.end()) return it->second;
    const PlanOptions::Trained& t = d_.options.trained[item_of_.at(v)];
    DraftValue g;
    g.kind = DraftValue::Kind::Gradient;
    g.type = {DType::F32, d_.values[v].type.shape};
    if (!t.rows.empty()) {
      g.type.shape.dims[0] = 0;
      for (auto [a, b] : t.rows) g.type.shape.dims[0] += b - a;
    }
    g.name = "gradient:" + t.name;
    g.param = d_.values[v].param;
    g.item = item_of_.at(v);
    return gradient_value_[v] = d_.add(std::move(g));
  }

  void add_to_trained(int temporary, int v) {
    const PlanOptions::Trained& t = d_.options.trained[item_of_.at(v)];
    int target = gradient_value(v), source = temporary;
    bool overwrite = first_rows_.erase(v) > 0;
    if (!t.rows.empty()) {
      int gathered = target;
      if (!overwrite) {
        DraftValue g;
        g.type = d_.values[target].type;
        g.name = d_.values[target].name;
        gathered = d_.add(std::move(g));
      }
      add_service(Service::GatherRows, {source}, {gathered}, kGradients, t.name, t.rows);
      source = gathered;
    }
    if (source != target) add_service(Service::Accumulate, {source}, {target}, kGradients, t.name, {});
  }

  void add_service(Service service, std::vector<int> in, std::vector<int> out, Phase phase, const std::string& node, const RowRanges& rows) {
    DraftStep s;
    s.kind = DraftStep::Kind::Service;
    s.phase = phase;
    s.node = node;
    s.service.service = service;
    s.service.rows = rows;
    for (int v : in) s.service.inputs.push_back(d_.values[v].type);
    for (int v : out) s.service.outputs.push_back(d_.values[v].type);
    s.in = std::move(in);
    s.out = std::move(out);
    d_.steps.push_back(std::move(s));
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
      require(gradient_value_.count(v), "trained parameter ", t.name, " gets no gradient: no loss depends on it");
      d_.gradient_of[v] = gradient_value_[v];
    }
  }

  Draft& d_;
  const std::vector<int>& param_ids_;
  std::map<int, int> item_of_;  // draft value of a trained parameter -> number among the trainables
  std::vector<bool> live_;
  std::vector<Placed> placed_;
  std::set<int> needs_;
  std::map<std::pair<int, DType>, int> converted_;
  std::map<int, std::vector<int>> contributions_;
  std::map<int, int> gradient_value_;
  std::set<int> first_rows_;  // row-masked parameters whose next gradient is the first
};

}  // namespace

void emit_steps(Draft& draft, const std::vector<int>& param_ids) { Emitter(draft, param_ids).run(); }

}  // namespace graft
