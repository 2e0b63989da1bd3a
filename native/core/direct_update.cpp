// A step of the optimizer on the caller's memory.
#include "direct_call.h"

namespace graft {
namespace {

// Returns the operands that the run reads or writes.
std::vector<const Region*> check(const OptimizerCall& call) {
  const bool adam = call.kind != OptimizerKind::Sgd;
  positive("count", call.count);
  finite("rate", call.rate);
  for (auto [name, x] : {std::pair{"decay", call.decay}, {"anchor", call.anchor_strength}, {"clip", call.clip}}) at_least_zero(name, x);
  if (adam) {
    within_one("beta1", call.beta1);
    within_one("beta2", call.beta2);
    at_least_zero("eps", call.eps);
    require(call.update >= 1, "update is number ", call.update, "; expected 1 for the first, as Adam's correction counts");
  } else {
    within_one("momentum", call.momentum);
    require(!call.nesterov || call.momentum > 0, "Nesterov's method needs a momentum above 0, got ", call.momentum);
  }
  const bool first = adam || call.momentum != 0, anchored = call.anchor_strength != 0;
  std::vector<const Region*> used{&call.weight, &call.gradient};
  call.weight.holds(call.count);
  call.gradient.holds(call.count);
  auto moment = [&](const Region& m, bool needed) {
    require(needed || !m.given(), m.name, ": this optimizer keeps no such moment");
    if (needed) used.push_back(&m.holds(call.count));
  };
  moment(call.first, first);
  moment(call.second, adam);
  if (anchored) used.push_back(&call.anchor.holds(call.count));
  if (call.mask.given()) used.push_back(&call.mask.holds((call.count + 7) / 8));
  require(call.clip > 0 || !call.norm.given(), "norm: that of the gradient is known only where it is clipped");
  if (call.norm.given()) used.push_back(&call.norm.holds(1));
  within_one("average", call.average_decay);
  require(call.average_decay > 0 || !call.average.given(), "average: none is kept with a decay of 0");
  if (call.average_decay > 0) used.push_back(&call.average.holds(call.count));
  if (call.copy.given()) used.push_back(&call.copy.holds(call.count));
  for (size_t i = 0; i < used.size(); i++)
    for (size_t j = 0; j < i; j++) used[i]->apart_from(*used[j]);
  int64_t end = 0;
  for (auto [begin, behind] : call.ranges) {
    require(begin >= end && behind > begin && behind <= call.count, "range ", begin, " to ", behind, ": expected ranges that ascend from ", end,
            ", are not empty and end at ", call.count, " at most");
    end = behind;
  }
  return used;
}

}  // namespace

void Direct::update(const OptimizerCall& call, int64_t stream) {
  reach(stream, check(call));
  OptimizerRequest r;
  r.kind = call.kind;
  r.momentum = call.momentum;
  r.beta1 = call.beta1;
  r.beta2 = call.beta2;
  r.eps = call.eps;
  r.nesterov = call.nesterov;
  r.anchor = call.anchor_strength != 0;
  r.clip = call.clip > 0;
  r.average = call.average_decay;
  r.narrow = call.copy.given();
  r.elements = call.count;
  const bool masked = call.mask.given();
  auto segment = [&](int64_t begin, int64_t end) { r.segments.push_back({begin, end - begin, 0, masked ? begin : -1, 0}); };
  for (auto [begin, end] : call.ranges) segment(begin, end);
  if (call.ranges.empty()) segment(0, call.count);

  KernelCache::Key key{static_cast<int64_t>(Family::Update), static_cast<int64_t>(r.kind), bits(r.momentum), bits(r.beta1), bits(r.beta2), bits(r.eps),
                       r.nesterov, r.anchor, r.clip, bits(r.average), r.narrow, r.elements, masked};
  for (const Segment& s : r.segments) key.insert(key.end(), {s.offset, s.count});
  Numbers numbers;
  numbers.block.rate[0] = static_cast<float>(call.rate);
  numbers.block.decay[0] = static_cast<float>(call.decay);
  numbers.block.anchor[0] = static_cast<float>(call.anchor_strength);
  numbers.block.header->clip_norm = static_cast<float>(call.clip);
  numbers.block.header->update = call.update;
  void *in[] = {call.gradient.at(), call.anchor.at(), nullptr, nullptr, nullptr, call.mask.at()};
  void *out[] = {call.weight.at(), call.first.at(), call.second.at(), call.average.at(), call.copy.at()};
  Args args{};
  args.in = in;
  args.out = out;
  numbers.gradient_norm = static_cast<float*>(call.norm.at());
  run(key, call.count <= kSmallElements, [&] { return column_.prepare(r); }, args, numbers, stream);
}

}  // namespace graft
