// F32 products by bf16 parts on tensor cores: how far from double they are, beside exact F32.
#include "cuda/column.h"
#include "cuda/emulated/threads.h"
#include "product_cases.h"

using namespace graft;
using namespace graft::test;

namespace {

// Root of the normalised mean square error against double.
double error_of(const std::vector<double>& truth, const std::vector<double>& got) {
  double squares = 0, energy = 0;
  for (size_t i = 0; i < truth.size(); i++) squares += (truth[i] - got[i]) * (truth[i] - got[i]), energy += truth[i] * truth[i];
  return std::sqrt(squares / energy);
}

ProductCase product_of(int64_t m, int64_t n, int64_t k, bool ta, bool tb, F32Product f32) {
  ProductRequest r;
  r.batch = 2, r.m = m, r.n = n, r.k = k;
  r.a = {ta ? 1 : k, ta ? m : 1, m * k};
  r.b = {tb ? 1 : n, tb ? k : 1, tb ? 0 : k * n};
  r.c = {n, 1, m * n};
  r.bias = r.epilogue.residual = true;
  r.f32 = f32;
  return {text(m, "x", n, "x", k), r};
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  emulated::set_fibre_seed(harness.seed());
  auto reference = make_reference_column(), column = make_cuda_column(0);
  column->enter_lane(1);
  // Normal numbers. Two parts drop at most 3 x 2^-18 of each term, rounded at random, so a sum's error stays near 2^-18 of its size.
  // Three parts are as good as F32, but sums are cut, not rounded, with each of 6 k / 16 instructions: half a unit each, all one way.
  for (auto [m, n, k] : {std::tuple<int64_t, int64_t, int64_t>{33, 17, 7}, {70, 40, 96}, {9, 24, 1100}})
    for (bool ta : {false, true})
      for (bool tb : {false, true})
        harness.test(text("parts/", m, "x", n, "x", k, ta ? "_t" : "_n", tb ? "t" : "n"), [&, m = m, n = n, k = k] {
          const std::vector<double> truth = run_product(harness, *reference, product_of(m, n, k, ta, tb, F32Product::Exact));
          const double exact = error_of(truth, run_product(harness, *column, product_of(m, n, k, ta, tb, F32Product::Exact)));
          const double three = error_of(truth, run_product(harness, *column, product_of(m, n, k, ta, tb, F32Product::Bf16x3)));
          const double six = error_of(truth, run_product(harness, *column, product_of(m, n, k, ta, tb, F32Product::Bf16x6)));
          std::printf("k %5lld: error of F32 %.2e, of six products %.2e, of three %.2e\n", static_cast<long long>(k), exact, six, three);
          const double cut = 6.0 * static_cast<double>(k) / 16 * 0x1p-24;
          harness.expect(three <= 0x1p-17 + cut, "three products: ", three);
          harness.expect(six <= 0x1p-22 + cut, "six products: ", six);
          harness.expect(three > 4 * six && three > 4 * exact, "three products are as good as six: was the permission taken? ", three);
          const ProductCase again = product_of(m, n, k, ta, tb, F32Product::Bf16x6);
          harness.expect(run_product(harness, *column, again) == run_product(harness, *column, again), "the second run gave other bits");
        });
  return harness.finish();
}
