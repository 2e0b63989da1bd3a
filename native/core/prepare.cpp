// Kernels and what they read: a kernel for every step, and each parameter in the form that its reader wants. A constant one
// becomes a form of the store that plans share (plain, packed, or with a norm folded in), a trained one is packed by a step
// before its first reader.
#include <mutex>

#include "passes.h"

namespace graft {
namespace {

class Preparer {
 public:
  Preparer(Draft& draft, Params& params, StoreUse& use) : d_(draft), params_(params), use_(use) {}

  void run() {
    for (auto& s : d_.steps) {
      prepare(s);
      s.each_read([&](int v) { supply_plain(v); });
      add_scratch(s);
      steps_.push_back(std::move(s));
    }
    d_.steps = std::move(steps_);
    for (const auto& [name, v] : d_.graph.outputs()) supply_plain(d_.value_of[v]);
    for (const auto& name : d_.options.kept) supply_plain(d_.value_of[d_.graph.find(name)]);
    d_.gradient_of.resize(d_.values.size(), -1);
  }

 private:
  bool is_parameter(int v) const { return v >= 0 && d_.values[v].kind == DraftValue::Kind::Parameter; }

  void prepare(DraftStep& s) {
    switch (s.kind) {
      case DraftStep::Kind::Service: s.kernel = d_.column.prepare(s.service); break;
      case DraftStep::Kind::Optimizer: s.kernel = d_.column.prepare(s.optimizer); break;
      case DraftStep::Kind::Pack: break;
      case DraftStep::Kind::Op:
        for (size_t i = 0; i < s.in.size(); i++) {
          if (!is_parameter(s.in[i])) continue;
          auto it = packed_so_far_.find(d_.values[s.in[i]].param);
          if (it != packed_so_far_.end()) s.request.preferred[i] = it->second;
        }
        s.request.choice = &d_.options.products;
        s.kernel = d_.column.prepare(s.request);
        ensure(s.kernel != nullptr, "node ", s.node, ": no kernel for ", s.request.name());
        for (size_t i = 0; i < s.in.size(); i++) supply(s, i);
        break;
    }
  }

  // Input i in the layout that the kernel wants; what it wants plain is left to supply_plain().
  void supply(DraftStep& s, size_t i) {
    if (!s.folded_norm.empty() && i == 1) return supply_folded(s);
    if (!s.folded_norm.empty() && i == 2) return;  // came with the weight
    const int v = s.in[i];
    if (!is_parameter(v)) return;
    const PackSpec spec = s.kernel->pack(i);
    if (spec.layout.empty() && spec.dtype == DType::F32) return;
    const int param = d_.values[v].param;
    packed_so_far_[param] = spec;
    s.in[i] = s.request.constant[i] ? form_value(v, borrow({FormSpec::Kind::Packed, {param}, spec, 0}), 0) : packed(v, spec, s.phase);
  }

  // Weight and bias with the norm behind them folded in.
  void supply_folded(DraftStep& s) {
    const int weight = s.in[1];
    FormSpec form{FormSpec::Kind::Folded, {}, s.kernel->pack(1), s.folded_eps};
    form.sources = {d_.values[weight].param, s.in[2] < 0 ? -1 : d_.values[s.in[2]].param};
    for (int n : s.folded_norm) form.sources.push_back(d_.values[n].param);
    const int number = borrow(form);
    s.in[1] = form_value(weight, number, 0);
    s.in[2] = form_value(weight, number, 1);
  }

  // A constant parameter that is read as it is, itself or through views: its values become those of a plain form.
  void supply_plain(int v) {
    const int root = d_.root(v);
    const DraftValue& value = d_.values[root];
    if (!is_parameter(root) || d_.options.tracked.count(value.name)) return;
    for (const auto& item : use_.trained.items)
      if (item.param == value.param) return;
    const int form = form_value(root, borrow({FormSpec::Kind::Plain, {value.param}, {}, 0}), 0);
    d_.values[root].alias = form;
  }

  // The value that a pack step makes of a trained parameter in every run; further readers of the same layout share it.
  int packed(int v, const PackSpec& spec, Phase phase) {
    auto [it, fresh] = packed_value_.try_emplace({v, spec.layout + name_of(spec.dtype)}, -1);
    if (!fresh) return it->second;
    const DraftValue& plain = d_.values[v];
    const size_t bytes = spec.bytes ? spec.bytes : size_of(spec.dtype) * static_cast<size_t>(plain.type.count());
    DraftStep pack;
    pack.kind = DraftStep::Kind::Pack;
    pack.phase = phase;
    pack.node = plain.name;
    pack.pack = spec;
    pack.kernel = d_.column.prepare_pack(plain.type, spec);
    pack.in = {v};
    pack.out = {it->second = add_bytes("packed:" + plain.name, bytes)};
    add_scratch(pack);
    steps_.push_back(std::move(pack));
    return it->second;
  }

  void add_scratch(DraftStep& s) {
    if (size_t bytes = s.kernel->scratch_bytes()) s.scratch = add_bytes("scratch:" + s.node, bytes);
  }

  int add_bytes(std::string name, size_t bytes) {
    DraftValue value;
    value.type = {DType::U8, Shape{static_cast<int64_t>(bytes)}};
    value.name = std::move(name);
    return d_.add(std::move(value));
  }

  // The value that stands for an output of a form made from v: 0 the weight, 1 the bias of a fold.
  int form_value(int v, int number, int output) {
    DraftValue value;
    value.kind = DraftValue::Kind::Packed;
    value.type = d_.values[v].type;
    value.name = d_.values[v].name;
    if (output == 1) {
      value.type.shape = Shape{value.type.shape[0]};
      value.name += ":bias";
    }
    value.form = number;
    value.form_output = output;
    return d_.add(std::move(value));
  }

  // Number of the form among the plan's; an equal form of another plan is shared.
  int borrow(const FormSpec& spec) {
    const std::string key = spec.key(params_);
    auto it = form_numbers_.find(key);
    if (it != form_numbers_.end()) return it->second;
    std::shared_ptr<Form> form;
    {
      std::unique_lock<std::shared_mutex> hold(params_.lock());
      form = params_.find_form(key);
      if (!form) {
        form = std::make_shared<Form>(params_, spec);
        params_.remember_form(key, form);
      }
    }
    use_.forms.push_back(form);
    return form_numbers_[key] = static_cast<int>(use_.forms.size()) - 1;
  }

  Draft& d_;
  Params& params_;
  StoreUse& use_;
  std::vector<DraftStep> steps_;  // the draft's with pack steps between them
  std::map<int, PackSpec> packed_so_far_;  // parameter -> the last layout that a reader of it took
  std::map<std::pair<int, std::string>, int> packed_value_;  // parameter's value and layout -> what its pack step makes
  std::map<std::string, int> form_numbers_;
};

}  // namespace

void prepare_steps(Draft& draft, Params& params, StoreUse& use) { Preparer(draft, params, use).run(); }

}  // namespace graft
