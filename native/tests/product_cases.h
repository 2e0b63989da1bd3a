// Products that belong to no graph, run on any column.
#pragma once
#include "harness.h"

namespace graft::test {

struct ProductCase {
  std::string label;
  ProductRequest request;
};

// Every operand contiguous; a and b stored transposed where asked.
inline std::vector<ProductCase> product_cases() {
  std::vector<ProductCase> all;
  auto add = [&](std::string label, int64_t batch, int64_t m, int64_t n, int64_t k, bool ta, bool tb) -> ProductRequest& {
    ProductRequest r;
    r.batch = batch, r.m = m, r.n = n, r.k = k;
    r.a = {ta ? 1 : k, ta ? m : 1, m * k};
    r.b = {tb ? 1 : n, tb ? k : 1, k * n};
    r.c = {n, 1, m * n};
    all.push_back({std::move(label), r});
    return all.back().request;
  };
  for (bool ta : {false, true})
    for (bool tb : {false, true})
      for (auto [m, n, k] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {17, 33, 7}, {65, 130, 70}})
        add(text(ta ? "t" : "n", tb ? "t" : "n", "_", m, "x", n, "x", k), 1, m, n, k, ta, tb);
  add("batch", 3, 17, 33, 7, false, true);
  add("shared_right", 3, 17, 33, 7, false, false).b.step = 0;
  add("bias_scaled", 1, 17, 33, 7, false, true).bias = true;
  all.back().request.scaled = true;
  for (Activation activation : {Activation::Relu, Activation::Relu6, Activation::LeakyRelu, Activation::Sigmoid, Activation::GeluExact, Activation::GeluTanh, Activation::Silu}) {
    ProductRequest& r = add(text("epilogue", static_cast<int>(activation)), 2, 17, 33, 7, false, true);
    r.bias = r.epilogue.residual = true;
    r.epilogue.activation = activation;
    r.epilogue.slope = activation == Activation::LeakyRelu ? 0.1f : 0;
  }
  add("accumulate", 1, 33, 17, 65, true, false).accumulate = true;
  for (bool narrow : {false, true}) {
    ProductRequest& r = add(narrow ? "bf16" : "bf16_into_f32", 2, 17, 33, 40, false, true);
    r.type = DType::BF16;
    r.result = narrow ? DType::BF16 : DType::F32;
    r.bias = true;
  }
  return all;
}

inline std::vector<double> run_product(Harness& harness, Column& column, const ProductCase& c) {
  const ProductRequest& r = c.request;
  auto operand = [&](const char* what, DType type, int64_t count) {
    Random random(harness.seed(), c.label + what);
    std::vector<double> values(static_cast<size_t>(count));
    for (double& v : values) v = rounded(random.normal(), type);
    return Buffer(column, {type, {count}}, values);
  };
  Buffer a = operand("/a", r.type, r.batch * r.m * r.k), b = operand("/b", r.type, r.batch * r.k * r.n), bias = operand("/bias", DType::F32, r.n);
  Buffer factor = operand("/factor", DType::F32, 1), residual = operand("/residual", r.result, r.batch * r.m * r.n);
  Buffer out(column, {r.result, {r.batch * r.m * r.n}});
  if (r.accumulate) out.write(operand("/before", r.result, r.batch * r.m * r.n).read());
  auto kernel = column.prepare(r);
  Buffer scratch(column, kernel->scratch_bytes());
  void* in[] = {a.address(), b.address(), r.bias ? bias.address() : nullptr, r.scaled ? factor.address() : nullptr};
  void* outs[] = {out.address()};
  Args args{};
  args.in = in;
  args.out = outs;
  args.residual = r.epilogue.residual ? residual.address() : nullptr;
  args.scratch = scratch.address();
  kernel->run(args);
  column.synchronize();
  harness.expect(out.intact() && scratch.intact(), kernel->name(), " wrote outside its operands");
  return out.read();
}

}  // namespace graft::test
