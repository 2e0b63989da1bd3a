// mma products from within: F32 by bf16 parts and as TF32, how far from double they are; the order of tiles; how sums are cut.
#include "cuda/column.h"
#include "cuda/emulated/threads.h"
#include "cuda/matmul/mma_product.cuh"
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
  return {text(m, "x", n, "x", k), r, false};
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  setenv("GRAFT_MATMUL", "own", 1);  // whether a device has checked these kernels or not
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
          harness.expect(three > 2 * six && three > 2 * exact, "three products are as good as six: was the permission taken? ", three);
          const ProductCase again = product_of(m, n, k, ta, tb, F32Product::Bf16x6);
          harness.expect(run_product(harness, *column, again) == run_product(harness, *column, again), "the second run gave other bits");
        });
  // Factors are rounded to 11 bits, a half unit each at random; sums are cut with each of k / 8 instructions.
  for (auto [m, n, k] : {std::tuple<int64_t, int64_t, int64_t>{33, 17, 7}, {70, 40, 96}, {9, 24, 1100}, {130, 72, 64}})
    for (bool ta : {false, true})
      for (bool tb : {false, true})
        harness.test(text("tf32/", m, "x", n, "x", k, ta ? "_t" : "_n", tb ? "t" : "n"), [&, m = m, n = n, k = k] {
          const ProductCase c = product_of(m, n, k, ta, tb, F32Product::Tf32);
          harness.expect(column->prepare(c.request)->name() == "own:mma:product_tf32:cuda", "made by ", column->prepare(c.request)->name());
          const std::vector<double> once = run_product(harness, *column, c);
          const double error = error_of(run_product(harness, *reference, c), once);
          harness.expect(error <= 0x1p-11 + static_cast<double>(k) / 8 * 0x1p-24, "error ", error);
          harness.expect(error > 0x1p-15, "as good as F32: was the permission taken? ", error);
          harness.expect(once == run_product(harness, *column, c), "the second run gave other bits");
        });
  // What TF32 holds whole is multiplied exactly: every layout, second pair and epilogue of the bf16 products.
  for (ProductCase c : product_cases()) {
    if (c.request.type != DType::BF16) continue;
    c.request.type = c.request.result = DType::F32;
    c.request.f32 = F32Product::Tf32;
    c.short_factors = true;
    harness.test("tf32/of_" + c.label, [&, c] {
      harness.expect(column->prepare(c.request)->name() == "own:mma:product_tf32:cuda", "made by ", column->prepare(c.request)->name());
      const double error = error_of(run_product(harness, *reference, c), run_product(harness, *column, c));
      harness.expect(error <= 0x1p-22 + static_cast<double>(c.request.k + c.request.k2) / 8 * 0x1p-24, "error ", error);
    });
  }
  harness.test("every tile of a result is one block's", [&] {
    for (int tiles_m : {1, 7, 8, 9, 24, 197})
      for (int tiles_n : {1, 3, 16, 24}) {
        std::vector<int> seen(static_cast<size_t>(tiles_m * tiles_n));
        for (int i = 0; i < tiles_m * tiles_n; i++) {
          const cuda::TileOrder tile(i, tiles_m, tiles_n);
          harness.expect(tile.row >= 0 && tile.row < tiles_m && tile.column >= 0 && tile.column < tiles_n, "block ", i, " of ", tiles_m, " x ", tiles_n);
          seen[static_cast<size_t>(tile.row * tiles_n + tile.column)]++;
        }
        for (int count : seen) harness.expect(count == 1, "a tile of ", tiles_m, " x ", tiles_n, " has ", count, " blocks");
      }
  });
  harness.test("splits cover all slices, each has some", [&] {
    cuda::Device device;
    for (int multiprocessors : {1, 4, 132})
      for (int64_t m : {1, 64, 130, 5000})
        for (int slices : {0, 1, 7, 8, 17, 300}) {
          device.multiprocessors = multiprocessors;
          const cuda::MmaCut cut(device, 1, m, 8, slices);
          harness.expect(cut.splits * cut.per_split >= slices && (cut.splits == 1 || (cut.splits - 1) * cut.per_split < slices), cut.splits, " splits of ",
                         cut.per_split, " for ", slices, " slices");
        }
  });
  return harness.finish();
}
