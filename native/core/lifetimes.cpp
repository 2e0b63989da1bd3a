#include "lifetimes.h"

#include <algorithm>

#include "arena.h"

namespace graft {
namespace {

struct Life {
  int first = -1, last = -1;
  bool used() const { return last >= 0; }
};

class Lifetimes {
 public:
  explicit Lifetimes(Draft& draft) : d_(draft), life_(draft.values.size()), in_arena_(draft.values.size()) {}

  Layout run() {
    const int end = static_cast<int>(d_.steps.size());
    for (size_t v = 0; v < d_.values.size(); v++) {
      auto kind = d_.values[v].kind;
      in_arena_[v] = kind == DraftValue::Kind::Arena || kind == DraftValue::Kind::Input;
      // Written by the caller before the first step and still there for another run.
      if (kind == DraftValue::Kind::Input) life_[v] = {0, end};
    }
    for (int i = 0; i < end; i++) {
      d_.steps[i].each_write([&](int v) { extend(v, i); });
      d_.steps[i].each_read([&](int v) { extend(v, i); });
    }
    for (size_t v = 0; v < d_.values.size(); v++)
      if (d_.values[v].keep && life_[d_.root(v)].used()) life_[d_.root(v)].last = end;
    for (auto& s : d_.steps) s.spared.erase(std::remove_if(s.spared.begin(), s.spared.end(), [&](int v) { return kept(v); }), s.spared.end());
    for (int i = 0; i < end; i++) lay_in_place(i);

    std::vector<Interval> intervals;
    std::vector<int> owner;
    Layout layout;
    for (size_t v = 0; v < d_.values.size(); v++) {
      if (!in_arena_[v] || d_.values[v].alias >= 0 || !life_[v].used()) continue;
      intervals.push_back({life_[v].first, life_[v].last, d_.values[v].type.bytes()});
      owner.push_back(static_cast<int>(v));
      layout.unshared += d_.values[v].type.bytes();
    }
    layout.bytes = pack_arena(intervals);
    layout.offset.assign(d_.values.size(), 0);
    for (size_t v = 0; v < d_.values.size(); v++) {
      if (d_.values[v].kind != DraftValue::Kind::Resident) continue;
      layout.offset[v] = layout.resident;
      layout.resident += (d_.values[v].type.bytes() + 63) / 64 * 64;
    }
    for (size_t k = 0; k < owner.size(); k++) layout.offset[owner[k]] = intervals[k].offset;
    for (size_t v = 0; v < d_.values.size(); v++) layout.offset[v] = layout.offset[d_.root(static_cast<int>(v))];
    return layout;
  }

 private:
  void extend(int v, int step) {
    Life& l = life_[d_.root(v)];
    if (!l.used()) l = {step, step};
    l.first = std::min(l.first, step);
    l.last = std::max(l.last, step);
  }

  // Whether v is there in the backward pass, for another step's sake or the caller's, or was never there at all.
  bool kept(int v) const {
    const int r = d_.root(v), end = static_cast<int>(d_.steps.size());
    if (d_.values[r].kind != DraftValue::Kind::Arena || !life_[r].used()) return true;
    return life_[r].last >= end || d_.steps[life_[r].last].phase != kForward;
  }

  // Puts `result`, born in step i, on `source`, whose last reader is step i.
  bool merge(int result, int source, int i) {
    if (result < 0 || source < 0) return false;
    int r = d_.root(result), s = d_.root(source);
    if (r == s || !in_arena_[r] || !in_arena_[s]) return false;
    if (d_.values[s].kind == DraftValue::Kind::Input) return false;
    if (life_[r].first != i || life_[s].last != i) return false;
    if (d_.values[r].type.bytes() != d_.values[s].type.bytes()) return false;
    d_.values[r].alias = s;
    life_[s].last = life_[r].last;
    return true;
  }

  int times_read(const DraftStep& s, int v) const {
    int n = 0;
    s.each_read([&](int x) { n += d_.root(x) == d_.root(v); });
    return n;
  }

  void lay_in_place(int i) {
    DraftStep& s = d_.steps[i];
    if (s.kind == DraftStep::Kind::Service && s.service.service == Service::Sum) {
      if (!merge(s.out[0], s.in[0], i)) merge(s.out[0], s.in[1], i);
      return;
    }
    if (s.kind != DraftStep::Kind::Op) return;
    if (s.request.pass == Pass::Loss) {
      if (times_read(s, s.in[0]) == 1) merge(s.din[0], s.in[0], i);
    } else if (s.request.op->pointwise && s.request.pass == Pass::Forward) {
      if (s.in[0] >= 0 && times_read(s, s.in[0]) == 1) merge(s.out[0], s.in[0], i);
    } else if (s.request.op->pointwise && s.request.pass == Pass::Backward) {
      if (s.din[0] >= 0 && s.request.modes[0] == GradMode::Overwrite && times_read(s, s.dout) == 1) merge(s.din[0], s.dout, i);
    }
  }

  Draft& d_;
  std::vector<Life> life_;
  std::vector<bool> in_arena_;
};

}  // namespace

Layout lay_out(Draft& draft) { return Lifetimes(draft).run(); }

}  // namespace graft
