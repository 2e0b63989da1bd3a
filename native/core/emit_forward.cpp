// Forward emission: a step for every live node, conversions where a role asks for another type, and which values need a
// gradient. A loss writes the gradient of its first input along with its value; one that has gradients of parameters too does so in
// the backward pass, and a step that finds the value alone serves runs without it.
#include <algorithm>

#include "emission.h"

namespace graft {
namespace {

class ForwardEmitter {
 public:
  explicit ForwardEmitter(Emission& emission) : e_(emission), d_(emission.draft) {}

  void run() {
    for (const auto& [v, item] : e_.item_of) e_.needs_gradient.insert(v);
    for (size_t n = 0; n < d_.graph.nodes().size(); n++)
      if (e_.live[n]) emit(d_.graph.nodes()[n]);
  }

 private:
  void emit(const Node& node) {
    EmittedNode p;
    p.op = node.op;
    p.name = node.name;
    for (size_t i = 0; i < node.inputs.size(); i++)
      p.in.push_back(in_role(node.inputs[i] < 0 ? -1 : d_.value_of[node.inputs[i]], node.role(i), e_.compute(node)));
    if (node.attributes.count("active") && !d_.options.train) {
      d_.value_of[node.outputs[0]] = p.in[0];  // dropout at rest: its readers read its input
      return;
    }
    for (int v : node.outputs) p.out.push_back(d_.value_of[v]);
    if (std::any_of(p.in.begin(), p.in.end(), [&](int v) { return e_.needs(v); })) e_.needs_gradient.insert(p.out[0]);
    p.request = request(node, p);
    if (node.op->view) d_.values[p.out[0]].alias = p.in[0];
    else add_step(p);
    e_.nodes.push_back(std::move(p));
  }

  // v in the type that the role asks for: a conversion is placed once per value and type. Weights that are parameters
  // themselves are converted by the column as it packs them.
  int in_role(int v, Role role, DType compute) {
    if (v < 0 || role == Role::Exact || (role == Role::Weight && e_.is_parameter(v))) return v;
    DType wanted = role == Role::Full || role == Role::Vector ? DType::F32 : compute;
    if (!is_float(d_.values[v].type.dtype) || d_.values[v].type.dtype == wanted) return v;
    auto [it, fresh] = converted_.try_emplace({v, wanted}, -1);
    if (!fresh) return it->second;
    DraftValue made;
    made.type = {wanted, d_.values[v].type.shape};
    made.name = d_.values[v].name + ":" + name_of(wanted);
    int c = it->second = d_.add(std::move(made));
    EmittedNode p;
    p.in = {v};
    p.out = {c};
    e_.add_conversion(v, c, kForward);
    e_.nodes.push_back(std::move(p));
    if (e_.needs(v)) e_.needs_gradient.insert(c);
    return c;
  }

  Request request(const Node& node, const EmittedNode& p) {
    const auto& o = d_.options;
    Request r;
    r.op = node.op;
    r.node = node.name;
    r.attributes = node.attributes;
    if (o.train && r.attributes.count("active")) r.attributes["active"] = 1;
    for (size_t i = 0; i < p.in.size(); i++) {
      const int v = p.in[i];
      r.inputs.push_back(type_of(v));
      r.constant.push_back(e_.is_parameter(v) && !e_.trained(v) && !o.tracked.count(d_.values[v].name));
      if (v >= 0 && node.role(i) == Role::Weight && !e_.is_parameter(v)) r.weights_may_pack = false;
    }
    for (int v : p.out) r.outputs.push_back(type_of(v));
    r.modes.assign(p.in.size(), GradMode::Ignore);
    r.preferred.resize(p.in.size());
    r.compute = e_.compute(node);
    r.batch = o.batch;
    if (node.op->statistics) {
      const std::string &mean = d_.values[p.in[3]].name, &variance = d_.values[p.in[4]].name;
      r.batch_statistics = o.tracked.count(mean) > 0;
      require(r.batch_statistics == (o.tracked.count(variance) > 0), "node ", node.name, ": of ", mean, " and ", variance, " both are tracked or none");
    }
    if (r.batch_statistics) r.attributes["batch_statistics"] = 1;
    if (node.op->loss) r.loss_index = d_.losses++;
    return r;
  }

  void add_step(const EmittedNode& p) {
    DraftStep s;
    s.node = p.name;
    s.request = p.request;
    s.in = p.in;
    s.out = p.out;
    const auto targets = p.in.begin() + static_cast<std::ptrdiff_t>(p.op->differentiable);
    if (p.op->loss && d_.options.train && std::any_of(p.in.begin(), p.in.end(), [&](int v) { return e_.needs(v); })) {
      require(!std::any_of(targets, p.in.end(), [&](int v) { return e_.needs(v); }), "node ", p.name, ": a loss passes no gradient to its targets");
      if (p.op->differentiable > 1) {
        s.without_gradients = true;
        d_.steps.push_back(std::move(s));
        return;
      }
      s.request.pass = Pass::Loss;
      s.request.modes[0] = GradMode::Overwrite;
      s.din.assign(p.in.size(), -1);
      s.din[0] = e_.new_gradient(p.in[0]);
      e_.contributions[p.in[0]].push_back(s.din[0]);
    }
    d_.steps.push_back(std::move(s));
  }

  TensorType type_of(int v) const {
    TensorType t;
    if (v < 0) t.shape.rank = -1;
    else t = d_.values[v].type;
    return t;
  }

  Emission& e_;
  Draft& d_;
  std::map<std::pair<int, DType>, int> converted_;
};

}  // namespace

void emit_forward(Emission& emission) { ForwardEmitter(emission).run(); }

}  // namespace graft
