// A product on the caller's memory.
#include "direct_call.h"

namespace graft {
namespace {

// Elements from the first to behind the last of `batch` matrices.
int64_t extent(const ProductCall::Matrix& x, int64_t batch, int64_t rows, int64_t columns) {
  const char* name = x.region.name;
  require(x.row >= columns, name, ": its rows are ", columns, " long, but ", x.row, " elements apart");
  require(x.step >= 0, name, ": its matrices are ", x.step, " elements apart; expected 0 or more");
  const int64_t before = product_of(name, batch - 1, x.step), rest = product_of(name, rows - 1, x.row);
  return before + rest + columns;
}

ProductRequest::Matrix layout(const ProductCall::Matrix& x, bool transposed, int64_t batch) {
  return {transposed ? 1 : x.row, transposed ? x.row : 1, batch == 1 ? 0 : x.step};
}

ProductRequest request_of(const ProductCall& call) {
  ProductRequest r;
  r.batch = call.batch;
  r.m = call.m;
  r.n = call.n;
  r.k = call.k;
  r.a = layout(call.a, call.transpose_a, call.batch);
  r.b = layout(call.b, call.transpose_b, call.batch);
  r.c = layout(call.c, false, call.batch);
  r.type = call.a.region.type;
  r.result = call.c.region.type;
  r.bias = call.bias.given();
  r.scaled = call.factor != 1;
  const bool in_place = call.residual.given() && call.residual.same_as(call.c.region);
  r.accumulate = call.accumulate || in_place;
  r.epilogue.residual = call.residual.given() && !in_place;
  r.epilogue.activation = call.activation;
  for (const Region* x : {&call.a.region, &call.b.region, &call.c.region, &call.bias, &call.residual}) r.aligned = r.aligned && x->address % 16 == 0;
  return r;
}

void check(const ProductCall& call) {
  for (auto [name, size] : {std::pair{"batch", call.batch}, {"m", call.m}, {"n", call.n}, {"k", call.k}}) positive(name, size);
  finite("factor", call.factor);
  const Region &a = call.a.region, &b = call.b.region, &c = call.c.region;
  a.holds(extent(call.a, call.batch, call.transpose_a ? call.k : call.m, call.transpose_a ? call.m : call.k));
  b.holds(extent(call.b, call.batch, call.transpose_b ? call.n : call.k, call.transpose_b ? call.k : call.n));
  require(a.type == b.type, "a is ", name_of(a.type), ", b is ", name_of(b.type), "; expected one type for both");
  const int64_t one = extent(call.c, 1, call.m, call.n), all = extent(call.c, call.batch, call.m, call.n);
  c.holds(all).apart_from(a).apart_from(b).apart_from(call.bias);
  // Matrices one behind the other, or interleaved: columns of the same rows.
  require(call.batch == 1 || call.c.step >= one || (call.c.step >= call.n && product_of("c", call.batch, call.c.step) <= call.c.row),
          "c: its matrices of ", call.m, " rows lie ", call.c.step, " elements apart and overlap");
  if (call.bias.given()) call.bias.holds(call.n);
  if (!call.residual.given()) return;
  require(!(call.accumulate && call.residual.same_as(c)), "residual is c, which is added already");
  call.residual.holds(all);
  if (!call.residual.same_as(c)) c.apart_from(call.residual);
}

}  // namespace

void Direct::product(const ProductCall& call, int64_t stream) {
  check(call);
  reach(stream, {&call.a.region, &call.b.region, &call.c.region, &call.bias, &call.residual});
  const ProductRequest r = request_of(call);
  for (DType type : {r.type, r.result}) computes(type);
  const double flops = 2.0 * static_cast<double>(r.batch) * static_cast<double>(r.m) * static_cast<double>(r.n) * static_cast<double>(r.k);
  const double elements = static_cast<double>(r.batch) * (static_cast<double>(r.m) * static_cast<double>(r.k + r.n) + static_cast<double>(r.k) * static_cast<double>(r.n));
  const bool small = flops <= static_cast<double>(kSmallFlops) && elements <= static_cast<double>(kSmallElements);
  const KernelCache::Key key{static_cast<int64_t>(Family::Product), small, r.batch, r.m, r.n, r.k, r.a.row, r.a.column, r.a.step, r.b.row, r.b.column,
                             r.b.step, r.c.row, r.c.step, static_cast<int64_t>(r.type), static_cast<int64_t>(r.result), r.bias, r.scaled,
                             r.accumulate, r.epilogue.residual, static_cast<int64_t>(r.epilogue.activation), r.aligned};
  void *in[] = {call.a.region.at(), call.b.region.at(), call.bias.at(), nullptr}, *out[] = {call.c.region.at()};
  Args args{};
  args.in = in;
  args.out = out;
  args.residual = r.epilogue.residual ? call.residual.at() : nullptr;
  Numbers numbers;
  numbers.number = static_cast<float>(call.factor);
  if (r.scaled) numbers.extra = Numbers::Extra::Factor;
  run(key, small, [&] { return column_.prepare(r); }, args, numbers, stream);
}

}  // namespace graft
