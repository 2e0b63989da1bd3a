// Products of the sizes that are measured, which the ladder's small cases do not reach: many tiles, many blocks, long sums. Some hundred or
// thousand elements of the result are compared with sums in double.
#pragma once
#include <algorithm>
#include <array>

#include "gpu/operands.h"
#include "harness.h"

namespace graft::gpu {

// In bf16, with F32 and with bf16 results, each factor as it is and transposed.
inline void large_product(test::Harness& harness, Column& column, int64_t m, int64_t n, int64_t k) {
  const int64_t sampled = std::clamp<int64_t>((int64_t{1} << 25) / k, 200, 4000);
  for (DType result : {DType::BF16, DType::F32})
    for (auto [ta, tb, label] : {std::tuple<bool, bool, const char*>{false, true, "nt"}, {false, false, "nn"}, {true, false, "tn"}})
      harness.test(text("large_product/", label, "_", m, "x", n, "x", k, "/", name_of(result)), [&, ta = ta, tb = tb] {
        ProductRequest r = contiguous_product(m, n, k, DType::BF16, ta, tb);
        r.result = result;
        const std::vector<float> a = normal_values(DType::BF16, m * k), b = normal_values(DType::BF16, n * k, 0.5);
        Memory left(column, {DType::BF16, {m * k}}), right(column, {DType::BF16, {k * n}}), c(column, {result, {m * n}});
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
          const double got = test::element(first.data(), result, i * n + j);
          // bf16 results round once, by half of 2^-8; tensor cores add with a few bits less than F32 has
          const double allowed = (result == DType::BF16 ? 0x1p-8 * std::fabs(sum) : 0) + 4e-6 * size;
          harness.expect(std::fabs(got - sum) <= allowed, kernel->name(), ": element [", i, ", ", j, "]: expected ", sum, ", got ", got, ", allowed ", allowed);
        }
      });
}

}  // namespace graft::gpu
