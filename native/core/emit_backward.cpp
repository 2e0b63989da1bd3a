// Backward emission, from the last node to the first: only where a gradient is needed, with one mode per gradient. The parts
// of a value's gradient are added up before its own node is reached; gradients of trained parameters go to their slots.
#include <algorithm>

#include "emission.h"

namespace graft {
namespace {

class BackwardEmitter {
 public:
  explicit BackwardEmitter(Emission& emission) : e_(emission), d_(emission.draft) {}

  void run() {
    for (size_t i = e_.nodes.size(); i-- > 0;) emit(e_.nodes[i]);
    // Parameters that took part as activations: their parts were collected like those of any value.
    for (const auto& [v, item] : e_.item_of) {
      if (e_.contributions[v].empty()) continue;
      int whole = gradient(v);
      bool first = first_gradient(v);
      const PlanOptions::Trained& t = d_.options.trained[item];
      if (!t.rows.empty()) add_to_trained(whole, v, first);
      else add(first ? Service::Convert : Service::Accumulate, whole, slot(v), t);
    }
  }

 private:
  void emit(const EmittedNode& p) {
    if (p.op && p.op->loss) return emit_loss(p);
    if (!e_.needs(p.out[0])) return;
    int dy = gradient(p.out[0]);
    if (dy < 0) return;
    note_gradient(p.out[0], dy);
    std::vector<bool> wanted;
    for (int v : p.in) wanted.push_back(e_.needs(v));
    if (std::count(wanted.begin(), wanted.end(), true) == 0) return;
    if (!p.op) {
      int dx = e_.new_gradient(p.in[0]);
      e_.add_conversion(dy, dx, kGradients);
      e_.contributions[p.in[0]].push_back(dx);
    } else if (p.op->view) {
      int dx = e_.new_gradient(p.in[0]);
      d_.values[dx].alias = dy;
      e_.contributions[p.in[0]].push_back(dx);
    } else if (p.op->passes_gradient && hands_on(p, wanted)) {
      for (size_t k = 0; k < p.in.size(); k++)
        if (wanted[k]) e_.contributions[p.in[k]].push_back(dy);
    } else {
      add_step(p, dy, wanted);
    }
  }

  // The whole gradient of v: its contributions added up. -1 where nothing flows.
  int gradient(int v) {
    auto& parts = e_.contributions[v];
    if (parts.empty()) return -1;
    int whole = parts[0];
    for (size_t i = 1; i < parts.size(); i++) {
      int sum = e_.new_gradient(v);
      e_.add_service(Service::Sum, {whole, parts[i]}, {sum}, kGradients, d_.values[whole].name);
      whole = sum;
    }
    parts = {whole};
    return whole;
  }

  void note_gradient(int v, int g) {
    d_.gradient_of.resize(d_.values.size(), -1);
    d_.gradient_of[v] = g;
  }

  bool hands_on(const EmittedNode& p, const std::vector<bool>& wanted) const {
    for (size_t k = 0; k < p.in.size(); k++)
      if (wanted[k] && (d_.values[p.in[k]].type.shape != d_.values[p.out[0]].type.shape || e_.trained(p.in[k]))) return false;
    return true;
  }

  // What follows a step, so that the gradients it wrote come where they belong.
  struct Afterwards {
    struct Later {
      int temporary, parameter;
      bool overwrite;
    };
    std::vector<Later> add_later;             // temporary -> gradient in the arena of trainables
    std::vector<std::pair<int, int>> narrow;  // a weight that was computed: its gradient in F32 -> in its own type
  };

  // Modes and places of the gradients that are wanted.
  Afterwards direct_gradients(DraftStep& s, const EmittedNode& p, const std::vector<bool>& wanted) {
    Afterwards after;
    s.din.assign(p.in.size(), -1);
    for (size_t k = 0; k < p.in.size(); k++) {
      if (!wanted[k]) continue;
      int v = p.in[k];
      if (!e_.trained(v)) {
        s.request.modes[k] = GradMode::Overwrite;
        s.din[k] = e_.new_gradient(v);
        e_.contributions[v].push_back(s.din[k]);
        const Role role = p.op->inputs[std::min(k, p.op->inputs.size() - 1)].role;
        if (DType type = gradient_type(role, d_.values[v].type.dtype); type != d_.values[v].type.dtype) {
          after.narrow.emplace_back(e_.new_gradient(v), s.din[k]);
          d_.values[after.narrow.back().first].type.dtype = type;
          s.din[k] = after.narrow.back().first;
        }
        continue;
      }
      const bool first = first_gradient(v), whole = d_.options.trained[e_.item_of.at(v)].rows.empty();
      const int target = slot(v);
      const bool twice = std::count(s.din.begin(), s.din.end(), target) > 0;
      if (whole && first) {
        s.request.modes[k] = GradMode::Overwrite;
        s.din[k] = target;
      } else if (whole && !twice && d_.column.accumulates(s.request, k)) {
        s.request.modes[k] = GradMode::Accumulate;
        s.din[k] = target;
      } else {
        s.request.modes[k] = GradMode::Overwrite;
        s.din[k] = e_.new_gradient(v);
        after.add_later.push_back({s.din[k], v, first});
      }
    }
    return after;
  }

  void add(DraftStep s, const Afterwards& after) {
    d_.steps.push_back(std::move(s));
    for (auto [from, to] : after.narrow) e_.add_conversion(from, to, kGradients);
    for (auto [temporary, v, overwrite] : after.add_later) add_to_trained(temporary, v, overwrite);
  }

  void add_step(const EmittedNode& p, int dy, const std::vector<bool>& wanted) {
    DraftStep s;
    s.phase = kGradients;
    s.node = p.name;
    s.request = p.request;
    s.request.pass = Pass::Backward;
    s.in = p.in;
    s.out = p.out;
    s.dout = dy;
    const Afterwards after = direct_gradients(s, p, wanted);
    const OpDef::Reads reads = reads_of(s, p, wanted);
    note_spared(s, p, wanted, reads);
    for (size_t k = 0; k < s.in.size(); k++)
      if (!reads.inputs[k]) s.in[k] = -1;
    for (size_t k = 0; k < s.out.size(); k++)
      if (!reads.outputs[k]) s.out[k] = -1;
    add(std::move(s), after);
  }

  // A loss with gradients of parameters: value and gradients in one step of this pass. Others wrote theirs in the forward pass.
  void emit_loss(const EmittedNode& p) {
    if (p.op->differentiable == 1) return;
    std::vector<bool> wanted;
    for (int v : p.in) wanted.push_back(e_.needs(v));
    if (std::count(wanted.begin(), wanted.end(), true) == 0) return;
    DraftStep s;
    s.phase = kGradients;
    s.node = p.name;
    s.request = p.request;
    s.request.pass = Pass::Loss;
    s.in = p.in;
    s.out = p.out;
    const Afterwards after = direct_gradients(s, p, wanted);
    add(std::move(s), after);
  }

  OpDef::Reads reads_of(const DraftStep& s, const EmittedNode& p, const std::vector<bool>& wanted) const {
    OpDef::Reads reads = p.op->backward_reads(s.request.call(), wanted);
    reads.inputs.resize(p.in.size(), false);
    reads.outputs.resize(p.out.size(), false);
    return reads;
  }

  // What s would read besides if the gradients of its frozen parameters were wanted too.
  void note_spared(DraftStep& s, const EmittedNode& p, std::vector<bool> wanted, const OpDef::Reads& reads) const {
    for (size_t k = 0; k < p.in.size(); k++)
      if (e_.is_parameter(p.in[k])) wanted[k] = true;
    const OpDef::Reads all = reads_of(s, p, wanted);
    for (size_t k = 0; k < p.in.size(); k++)
      if (all.inputs[k] && !reads.inputs[k] && !e_.is_parameter(p.in[k])) s.spared.push_back(p.in[k]);
    for (size_t k = 0; k < p.out.size(); k++)
      if (all.outputs[k] && !reads.outputs[k]) s.spared.push_back(p.out[k]);
  }

  // Whether the next gradient of a trained parameter is the first of a run, and no earlier run's is to be kept.
  bool first_gradient(int v) const { return e_.gradient_value.count(v) == 0 && !d_.options.accumulate; }

  // The value that stands for a trained parameter's slot in the gradients.
  int slot(int v) {
    auto it = e_.gradient_value.find(v);
    if (it != e_.gradient_value.end()) return it->second;
    const PlanOptions::Trained& t = d_.options.trained[e_.item_of.at(v)];
    DraftValue g;
    g.kind = DraftValue::Kind::Gradient;
    g.type = {DType::F32, d_.values[v].type.shape};
    if (!t.rows.empty()) {
      g.type.shape.dims[0] = 0;
      for (auto [a, b] : t.rows) g.type.shape.dims[0] += b - a;
    }
    g.name = "gradient:" + t.name;
    g.param = d_.values[v].param;
    g.item = e_.item_of.at(v);
    return e_.gradient_value[v] = d_.add(std::move(g));
  }

  // Adds a temporary to the slot, only its live rows where rows are masked; these may also overwrite.
  void add_to_trained(int temporary, int v, bool overwrite) {
    const PlanOptions::Trained& t = d_.options.trained[e_.item_of.at(v)];
    const int target = slot(v);
    if (t.rows.empty()) return add(Service::Accumulate, temporary, target, t);
    if (overwrite) return add(Service::GatherRows, temporary, target, t);
    DraftValue live;
    live.type = d_.values[target].type;
    live.name = d_.values[target].name;
    const int gathered = d_.add(std::move(live));
    add(Service::GatherRows, temporary, gathered, t);
    add(Service::Accumulate, gathered, target, t);
  }

  void add(Service service, int from, int to, const PlanOptions::Trained& t) {
    e_.add_service(service, {from}, {to}, kGradients, t.name, service == Service::GatherRows ? t.rows : RowRanges{});
  }

  Emission& e_;
  Draft& d_;
};

}  // namespace

void emit_backward(Emission& emission) { BackwardEmitter(emission).run(); }

}  // namespace graft
