// A linear layer with a low-rank update inside it, forward and backward, on the caller's memory.
#include "direct_call.h"

namespace graft {
namespace {

enum { X, W, Bias, A, B, Z, Adapter, Scales, Inputs };

TensorType absent() {
  TensorType none;
  none.shape.rank = -1;
  return none;
}

// The operation's request; its shape rule checks slices, adapters and factor.
Request request_of(const LowRankCall& call) {
  const int64_t slices = static_cast<int64_t>(call.starts.size());
  const bool grouped = call.adapters > 0;
  auto factor_shape = [&](int64_t rows, int64_t columns) { return grouped ? Shape{call.adapters, rows, columns} : Shape{rows, columns}; };
  Request r;
  r.op = find_op("lora_linear");
  r.node = r.op->name;
  r.pass = call.backward ? Pass::Backward : Pass::Forward;
  r.attributes = {{"factor", call.factor}, {"slices", static_cast<double>(slices)}, {"width", static_cast<double>(call.width)}};
  for (int64_t i = 0; i < 8; i++) r.attributes[text("start", i)] = i < slices ? static_cast<double>(call.starts[i]) : 0;
  r.inputs.assign(Inputs, absent());
  r.inputs[X] = {call.type, {call.rows, call.in}};
  r.inputs[W] = {call.type, {call.out, call.in}};
  r.inputs[A] = {call.type, factor_shape(slices * call.rank, call.in)};
  r.inputs[B] = {call.type, factor_shape(slices * call.width, call.rank)};
  if (call.bias.given()) r.inputs[Bias] = {DType::F32, {call.out}};
  if (grouped) r.inputs[Adapter] = {DType::I32, {call.samples}};
  if (call.scales.given()) r.inputs[Scales] = {DType::F32, {call.adapters}};
  r.outputs = r.op->infer(r.call());
  r.constant.assign(Inputs, false);
  r.modes.assign(call.backward ? Inputs : 0, GradMode::Ignore);
  const GradMode mode = call.accumulate ? GradMode::Accumulate : GradMode::Overwrite;
  if (call.dx.given()) r.modes[X] = GradMode::Overwrite;
  if (call.da.given()) r.modes[A] = mode;
  if (call.db.given()) r.modes[B] = mode;
  r.preferred.resize(Inputs);
  r.weights_may_pack = false;  // the caller's weight is plain
  r.compute = call.type;
  r.batch = 1;
  return r;
}

// Every operand that the run reads or writes holds enough, and what is written is no part of another. Returns these operands.
std::vector<const Region*> check(const LowRankCall& call, const Request& r) {
  std::vector<const Region*> read, written;
  auto reads = [&](const Region& x, const TensorType& type) { read.push_back(&x.holds(type.count())); };
  auto writes = [&](const Region& x, const TensorType& type) { written.push_back(&x.holds(type.count())); };
  const bool dx = call.dx.given(), da = call.da.given(), db = call.db.given();
  require(!call.backward || dx || da || db, "none of dx, da and db is given: there is no gradient to compute");
  const bool forward = !call.backward;
  if (forward || da) reads(call.x, r.inputs[X]);
  if (forward || dx) reads(call.weight, r.inputs[W]);
  if (forward || dx) reads(call.a, r.inputs[A]);
  if (forward || dx || da) reads(call.b, r.inputs[B]);
  if (call.bias.given()) reads(call.bias, r.inputs[Bias]);
  if (call.adapters > 0) reads(call.adapter, r.inputs[Adapter]);
  else require(!call.adapter.given() && !call.scales.given(), "adapter and scales are of several adapters, but adapters are 0");
  if (call.scales.given()) reads(call.scales, r.inputs[Scales]);
  if (forward) {
    writes(call.y, r.outputs[0]);
    writes(call.t, r.outputs[1]);
  } else {
    reads(call.dy, r.outputs[0]);
    if (db) reads(call.t, r.outputs[1]);
    if (dx) writes(call.dx, r.inputs[X]);
    if (da) writes(call.da, r.inputs[A]);
    if (db) writes(call.db, r.inputs[B]);
  }
  for (size_t i = 0; i < written.size(); i++) {
    for (const Region* other : read) written[i]->apart_from(*other);
    for (size_t j = 0; j < i; j++) written[i]->apart_from(*written[j]);
  }
  read.insert(read.end(), written.begin(), written.end());
  return read;
}

}  // namespace

void Direct::low_rank(const LowRankCall& call, int64_t stream) {
  const int64_t slices = static_cast<int64_t>(call.starts.size());
  for (auto [name, size] : {std::pair{"rows", call.rows}, {"in", call.in}, {"out", call.out}, {"rank", call.rank}, {"width", call.width}}) positive(name, size);
  finite("factor", call.factor);
  require(call.adapters >= 0, "adapters are ", call.adapters, "; expected 0 or more");
  if (call.adapters > 0) require(call.samples >= 1 && call.rows % call.samples == 0, "samples are ", call.samples, "; expected a divisor of the ", call.rows, " rows");
  const int64_t all = std::max<int64_t>(call.adapters, 1);
  product_of("x", call.rows, call.in);
  product_of("y", call.rows, call.out);
  product_of("weight", call.out, call.in);
  product_of("t", call.rows, product_of("t", slices, call.rank));
  product_of("a", all, product_of("a", product_of("a", slices, call.rank), call.in));
  product_of("b", all, product_of("b", product_of("b", slices, call.width), call.rank));
  computes(call.type);
  const Request r = request_of(call);
  reach(stream, check(call, r));
  if (call.adapters > 0) check_numbers("adapter of sample", call.adapter, call.samples, 0, call.adapters - 1, -1);

  KernelCache::Key key{static_cast<int64_t>(Family::LowRank), call.rows, call.in, call.out, call.rank, call.width, bits(call.factor), call.adapters,
                       call.samples, call.backward, call.bias.given(), call.scales.given(), static_cast<int64_t>(call.type)};
  for (GradMode mode : r.modes) key.push_back(static_cast<int64_t>(mode));
  const double flops = 2.0 * static_cast<double>(call.rows) * (static_cast<double>(call.in) * static_cast<double>(call.out) +
                       static_cast<double>(slices * call.rank) * static_cast<double>(call.in + call.out));
  const double elements = static_cast<double>(call.rows) * static_cast<double>(call.in + call.out) + static_cast<double>(call.in) * static_cast<double>(call.out);
  const bool small = flops <= static_cast<double>(kSmallFlops) && elements <= static_cast<double>(kSmallElements);
  key.push_back(small);
  key.insert(key.end(), call.starts.begin(), call.starts.end());
  void* in[Inputs] = {};
  const Region* inputs[Inputs] = {&call.x, &call.weight, &call.bias, &call.a, &call.b, nullptr, &call.adapter, &call.scales};
  for (int i = 0; i < Inputs; i++) in[i] = inputs[i] ? inputs[i]->at() : nullptr;
  void *out[] = {call.y.at(), call.t.at()}, *din[Inputs] = {call.dx.at(), nullptr, nullptr, call.da.at(), call.db.at()};
  Args args{};
  args.in = in;
  args.out = out;
  args.din = din;
  args.dout = call.dy.at();
  Numbers numbers;
  run(key, small, [&] { return column_.prepare(r); }, args, numbers, stream);
}

}  // namespace graft
