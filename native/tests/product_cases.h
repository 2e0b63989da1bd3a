// Products that belong to no graph, run on any column.
#pragma once
#include "harness.h"

namespace graft::test {

struct ProductCase {
  std::string label;
  ProductRequest request;
  bool short_factors = false;  // of eight bits, as BF16's are
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
    all.push_back({std::move(label), r, false});
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
  // bf16 in every layout: one tile and several, lines that are and are not aligned, sums of a few and of many slices, few results.
  auto bf16 = [&](std::string label, int64_t batch, int64_t m, int64_t n, int64_t k, bool ta, bool tb, DType result) -> ProductRequest& {
    ProductRequest& r = add("bf16_" + label, batch, m, n, k, ta, tb);
    r.type = DType::BF16, r.result = result;
    return r;
  };
  for (bool ta : {false, true})
    for (bool tb : {false, true})
      for (auto [m, n, k] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {65, 130, 70}, {136, 72, 104}})
        bf16(text(ta ? "t" : "n", tb ? "t" : "n", "_", m, "x", n, "x", k), 1, m, n, k, ta, tb, ta ? DType::F32 : DType::BF16);
  bf16("many_tiles", 1, 264, 392, 40, false, true, DType::F32);
  bf16("batch", 3, 72, 24, 48, false, true, DType::F32);
  bf16("shared_left", 3, 17, 33, 24, false, false, DType::F32).a.step = 0;
  bf16("few_results", 2, 9, 17, 1100, false, true, DType::BF16).bias = true;
  bf16("few_results_turned", 1, 40, 8, 2056, true, false, DType::F32).accumulate = true;
  bf16("no_terms", 1, 9, 17, 0, false, true, DType::F32).bias = true;
  {
    ProductRequest& r = bf16("by_columns", 2, 33, 24, 40, false, true, DType::F32);
    r.c = {1, 33, 33 * 24};
    r.epilogue.residual = r.accumulate = true;
  }
  for (Activation activation : {Activation::Relu, Activation::GeluExact, Activation::GeluTanh, Activation::Silu})
    for (int64_t n : {33, 40}) {
      ProductRequest& r = bf16(text("saved_epilogue", static_cast<int>(activation), "_", n), 2, 17, n, 24, false, true, DType::BF16);
      r.bias = r.epilogue.residual = r.saves = r.scaled = true;
      r.times = 0.5f;
      r.epilogue.activation = activation;
    }
  for (bool tb : {false, true})
    for (int64_t k2 : {1, 16, 72}) {
      ProductRequest& r = bf16(text("second_pair_", tb ? "nt_" : "nn_", k2), 2, 70, 34, 40, false, tb, DType::F32);
      r.k2 = k2;
      r.a2 = {k2, 1, r.m * k2}, r.b2 = {tb ? 1 : r.n, tb ? k2 : 1, k2 * r.n};
      r.bias = true;
    }
  return all;
}

inline std::vector<double> run_product(Harness& harness, Column& column, const ProductCase& c) {
  const ProductRequest& r = c.request;
  auto operand = [&](const char* what, DType type, int64_t count) {
    Random random(harness.seed(), c.label + what);
    std::vector<double> values(static_cast<size_t>(count));
    for (double& v : values) v = rounded(random.normal(), c.short_factors ? DType::BF16 : type);
    return Buffer(column, {type, {count}}, values);
  };
  Buffer a = operand("/a", r.type, r.batch * r.m * r.k), b = operand("/b", r.type, r.batch * r.k * r.n), bias = operand("/bias", DType::F32, r.n);
  Buffer factor = operand("/factor", DType::F32, 1), residual = operand("/residual", r.result, r.batch * r.m * r.n);
  Buffer a2 = operand("/a2", r.type, r.batch * r.m * r.k2), b2 = operand("/b2", r.type, r.batch * r.k2 * r.n);
  Buffer out(column, {r.result, {r.batch * r.m * r.n}}), saved(column, {r.result, {r.saves ? r.batch * r.m * r.n : 0}});
  if (r.accumulate) out.write(operand("/before", r.result, r.batch * r.m * r.n).read());
  auto kernel = column.prepare(r);
  Buffer scratch(column, kernel->scratch_bytes());
  void* in[] = {a.address(), b.address(), r.bias ? bias.address() : nullptr, r.scaled ? factor.address() : nullptr, a2.address(), b2.address()};
  void* outs[] = {out.address(), r.saves ? saved.address() : nullptr};
  Args args{};
  args.in = in;
  args.out = outs;
  args.residual = r.epilogue.residual ? residual.address() : nullptr;
  args.scratch = scratch.address();
  kernel->run(args);
  column.synchronize();
  harness.expect(out.intact() && saved.intact() && scratch.intact(), kernel->name(), " wrote outside its operands");
  std::vector<double> results = out.read();
  const std::vector<double> before = saved.read();
  results.insert(results.end(), before.begin(), before.end());
  return results;
}

}  // namespace graft::test
