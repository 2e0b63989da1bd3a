// Products of the sizes that are measured, which the ladder's small cases do not reach: many tiles, many blocks, long sums. Some hundred or
// thousand elements of the result are compared with sums in double.
#pragma once
#include <algorithm>
#include <array>

#include "gpu/operands.h"
#include "harness.h"

namespace graft::gpu {

struct LargeKind {
  std::string label;
  DType type, result, factors;  // factors: what their numbers are rounded to
  F32Product f32;
  double dropped;               // at most, of the sizes of a sum's terms
};

// TF32 is given numbers that it holds whole; of two bf16 parts three products of 2^-18 are left out, of three parts what F32 drops too.
inline std::vector<LargeKind> bf16_kinds() { return {{"bf16", DType::BF16, DType::BF16, DType::BF16, F32Product::Exact, 0}, {"f32", DType::BF16, DType::F32, DType::BF16, F32Product::Exact, 0}}; }
inline std::vector<LargeKind> f32_kinds() {
  return {{"exact", DType::F32, DType::F32, DType::F32, F32Product::Exact, 0},
          {"tf32", DType::F32, DType::F32, DType::BF16, F32Product::Tf32, 0},
          {"bf16x3", DType::F32, DType::F32, DType::F32, F32Product::Bf16x3, 3 * 0x1p-18},
          {"bf16x6", DType::F32, DType::F32, DType::F32, F32Product::Bf16x6, 0}};
}

// Each factor as it is and transposed.
inline void large_product(test::Harness& harness, Column& column, int64_t m, int64_t n, int64_t k, const std::vector<LargeKind>& kinds) {
  const int64_t sampled = std::clamp<int64_t>((int64_t{1} << 25) / k, 200, 4000);
  for (const LargeKind& kind : kinds)
    for (auto [ta, tb, label] : {std::tuple<bool, bool, const char*>{false, true, "nt"}, {false, false, "nn"}, {true, false, "tn"}})
      harness.test(text("large_product/", label, "_", m, "x", n, "x", k, "/", kind.label), [&, ta = ta, tb = tb] {
        ProductRequest r = contiguous_product(m, n, k, kind.type, ta, tb);
        r.result = kind.result, r.f32 = kind.f32;
        const std::vector<float> a = normal_values(kind.factors, m * k), b = normal_values(kind.factors, n * k, 0.5);
        Memory left(column, {kind.type, {m * k}}), right(column, {kind.type, {k * n}}), c(column, {kind.result, {m * n}});
        fill(column, left, a);
        fill(column, right, b);
        fill(column, c, {NAN});
        auto kernel = column.prepare(r);
        Memory scratch(column, kernel->scratch_bytes());
        void *in[] = {left.address(), right.address(), nullptr, nullptr}, *out[] = {c.address()};
        Args args{};
        args.in = in, args.out = out, args.scratch = scratch.address();
        kernel->run(args);
        std::string first(c.type().bytes(), 0), second(c.type().bytes(), 0);
        column.copy_out(first.data(), c.address(), first.size());
        kernel->run(args);
        column.copy_out(second.data(), c.address(), second.size());
        harness.expect(first == second, kernel->name(), ": the second run gave other bits");
        test::Random random(harness.seed(), "sampled");
        for (int64_t s = 0; s < sampled; s++) {
          const int64_t i = s == 0 ? 0 : s == 1 ? m - 1 : random.below(m), j = s == 0 ? 0 : s == 1 ? n - 1 : random.below(n);
          double sum = 0, size = 0;
          for (int64_t l = 0; l < k; l++) {
            const double term = static_cast<double>(a[static_cast<size_t>(i * r.a.row + l * r.a.column) % a.size()]) * b[static_cast<size_t>(l * r.b.row + j * r.b.column) % b.size()];
            sum += term;
            size += std::fabs(term);
          }
          const double got = test::element(first.data(), kind.result, i * n + j);
          // bf16 results round once, by half of 2^-8; tensor cores add with a few bits less than F32 has
          const double allowed = (kind.result == DType::BF16 ? 0x1p-8 * std::fabs(sum) : 0) + (4e-6 + kind.dropped) * size;
          harness.expect(std::fabs(got - sum) <= allowed, kernel->name(), ": element [", i, ", ", j, "]: expected ", sum, ", got ", got, ", allowed ", allowed);
        }
      });
}

}  // namespace graft::gpu
