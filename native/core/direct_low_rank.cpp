// A low-rank update merged into a weight on the caller's memory.
#include "direct_call.h"

namespace graft {
namespace {

// Checks sizes and slices by the operation's own rules, on one row of input.
void check_shapes(const Attributes& attributes, const MergeCall& call, const TensorType& weight, const TensorType& a, const TensorType& b) {
  TensorType absent;
  absent.shape.rank = -1;
  find_op("lora_linear")->infer({attributes, {{weight.dtype, {1, call.columns}}, weight, absent, a, b}});
}

}  // namespace

void Direct::merge(const MergeCall& call, int64_t stream) {
  const int64_t slices = static_cast<int64_t>(call.starts.size());
  for (auto [name, size] : {std::pair{"rows", call.rows}, {"columns", call.columns}, {"rank", call.rank}, {"width", call.width}}) positive(name, size);
  const int64_t pairs = product_of("a", slices, call.rank), covered = product_of("b", slices, call.width);
  const DType type = call.weight.type;
  computes(type);
  const TensorType weight{type, {call.rows, call.columns}}, a{type, {pairs, call.columns}}, b{type, {covered, call.rank}};
  Attributes attributes{{"factor", call.factor}, {"slices", static_cast<double>(slices)}, {"width", static_cast<double>(call.width)}};
  KernelCache::Key key{static_cast<int64_t>(Family::Merge), call.rows, call.columns, call.rank, call.width, bits(call.factor), static_cast<int64_t>(type)};
  for (int64_t i = 0; i < 8; i++) attributes[text("start", i)] = i < slices ? static_cast<double>(call.starts[i]) : 0;
  key.insert(key.end(), call.starts.begin(), call.starts.end());
  check_shapes(attributes, call, weight, a, b);
  call.weight.holds(product_of("weight", call.rows, call.columns));
  call.a.holds(product_of("a", pairs, call.columns));
  call.b.holds(product_of("b", covered, call.rank));
  call.weight.apart_from(call.a).apart_from(call.b);
  reach(stream, {&call.weight, &call.a, &call.b});
  void *in[] = {call.a.at(), call.b.at()}, *out[] = {call.weight.at()};
  Args args{};
  args.in = in;
  args.out = out;
  Numbers numbers;
  auto prepare = [&] { return column_.prepare(ServiceRequest{Service::MergeLowRank, {a, b}, {weight}, attributes, {}}); };
  run(key, covered * call.columns <= kSmallElements, prepare, args, numbers, stream);
}

}  // namespace graft
