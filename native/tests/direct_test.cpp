// Kernels on the caller's memory through the C interface: against loops in double, misused, and many at once.
#include <omp.h>

#include <thread>

#include "graft.h"
#include "harness.h"

using namespace graft;
using namespace graft::test;

namespace {

constexpr float kSentinel = -77;

int64_t place(const void* p) { return reinterpret_cast<int64_t>(p); }

std::vector<float> normal(uint64_t seed, const std::string& name, int64_t n) {
  Random random(seed, name);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

double activated(int activation, double x) {
  switch (activation) {
    case GRAFT_RELU: return x > 0 ? x : 0;
    case GRAFT_SIGMOID: return 1 / (1 + std::exp(-x));
    case GRAFT_GELU: return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case GRAFT_GELU_TANH: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case GRAFT_SILU: return x / (1 + std::exp(-x));
    default: return x;
  }
}

struct ProductCase {
  int64_t batch, m, n, k;
  int flags = 0, activation = GRAFT_IDENTITY;
  double factor = 1;
  bool bias = false, residual = false, in_place = false;
  int64_t a_gap = 0, b_gap = 0, c_gap = 0;  // elements between rows that belong to nobody
  bool share_b = false, interleaved = false;
  std::string label() const {
    return text("matmul ", batch, "x", m, "x", n, "x", k, " flags ", flags, " activation ", activation, " factor ", factor, bias ? " bias" : "",
                residual ? " residual" : "", in_place ? " in place" : "", " gaps ", a_gap, " ", b_gap, " ", c_gap, share_b ? " one b" : "",
                interleaved ? " interleaved" : "");
  }
};

// Runs a case and compares every element of c, also those that the product has to leave alone.
void product(Harness& harness, graft_device* device, const std::string& column, const ProductCase& p) {
  harness.test(column + ": " + p.label(), [&] {
    const bool ta = p.flags & GRAFT_TRANSPOSE_A, tb = p.flags & GRAFT_TRANSPOSE_B;
    const int64_t a_rows = ta ? p.k : p.m, a_columns = ta ? p.m : p.k, b_rows = tb ? p.n : p.k, b_columns = tb ? p.k : p.n;
    const int64_t a_row = a_columns + p.a_gap, b_row = b_columns + p.b_gap, c_row = (p.interleaved ? p.batch * p.n : p.n) + p.c_gap;
    const int64_t a_step = a_rows * a_row, b_step = p.share_b ? 0 : b_rows * b_row, c_step = p.interleaved ? p.n : p.m * c_row;
    std::vector<float> a = normal(harness.seed(), "a", p.batch * a_step), b = normal(harness.seed(), "b", (p.share_b ? 1 : p.batch) * b_rows * b_row);
    std::vector<float> c(p.interleaved ? p.m * c_row : p.batch * c_step, kSentinel), bias = normal(harness.seed(), "bias", p.n);
    std::vector<float> residual = normal(harness.seed(), "residual", static_cast<int64_t>(c.size()));
    const bool add = p.flags & GRAFT_ACCUMULATE;
    if (add || p.in_place) c = normal(harness.seed(), "c", static_cast<int64_t>(c.size()));
    std::vector<double> expected(c.begin(), c.end()), actual;
    for (int64_t i = 0; i < p.batch; i++)
      for (int64_t row = 0; row < p.m; row++)
        for (int64_t col = 0; col < p.n; col++) {
          double sum = 0;
          for (int64_t l = 0; l < p.k; l++)
            sum += static_cast<double>(a[i * a_step + (ta ? l * a_row + row : row * a_row + l)]) * b[i * b_step + (tb ? col * b_row + l : l * b_row + col)];
          const int64_t at = i * c_step + row * c_row + col;
          sum = p.factor * sum + (p.bias ? bias[col] : 0) + (p.residual ? residual[at] : 0) + (add || p.in_place ? c[at] : 0);
          expected[at] = activated(p.activation, sum);
        }
    const std::vector<float>& r = p.in_place ? c : residual;
    const bool some = p.residual || p.in_place;
    int32_t status = graft_matmul(device, p.flags, p.activation, p.factor, p.batch, p.m, p.n, p.k, GRAFT_F32, GRAFT_F32, place(a.data()),
                                  static_cast<int64_t>(a.size()), a_row, a_step, place(b.data()), static_cast<int64_t>(b.size()), b_row, b_step,
                                  place(c.data()), static_cast<int64_t>(c.size()), c_row, c_step, p.bias ? place(bias.data()) : 0, p.bias ? p.n : 0,
                                  some ? place(r.data()) : 0, some ? static_cast<int64_t>(r.size()) : 0);
    harness.expect(status == GRAFT_OK, graft_last_error());
    actual.assign(c.begin(), c.end());
    // k products are rounded and added in F32: at most k half units of their sizes, which are sqrt(k) together.
    harness.expect_close("c", expected, actual, 2e-7 * std::sqrt(static_cast<double>(p.k)) + 4e-7, std::fabs(p.factor) * std::sqrt(static_cast<double>(p.k)) + 1);
  });
}

std::vector<ProductCase> product_cases() {
  std::vector<ProductCase> cases;
  for (int flags = 0; flags < 8; flags++)
    for (int64_t size : {1, 5, 33, 130}) cases.push_back({1, size, size + 2, 2 * size + 1, flags});
  for (int activation = GRAFT_IDENTITY; activation <= GRAFT_SILU; activation++)
    for (double factor : {1.0, -0.37})
      for (int with = 0; with < 4; with++) {
        ProductCase p{1, 37, 51, 19, with % 2 ? GRAFT_TRANSPOSE_B : 0, activation, factor, true};
        p.residual = with == 1;
        p.in_place = with == 2;
        if (with == 3) p.flags |= GRAFT_ACCUMULATE;
        cases.push_back(p);
      }
  for (int flags = 0; flags < 4; flags++) {
    ProductCase gaps{1, 17, 23, 31, flags, GRAFT_GELU, 0.5, true, true};
    gaps.a_gap = 3;
    gaps.b_gap = 5;
    gaps.c_gap = 7;
    cases.push_back(gaps);
    gaps.batch = 3;
    cases.push_back(gaps);
    gaps.share_b = true;
    cases.push_back(gaps);
    ProductCase heads{4, 9, 16, 8, flags, GRAFT_IDENTITY, 0.25};
    heads.interleaved = true;
    cases.push_back(heads);
    cases.push_back({5, 1, 64, 7, flags, GRAFT_RELU, 1, true});
    cases.push_back({2, 150, 140, 130, flags | GRAFT_ACCUMULATE, GRAFT_SILU, 2, true, true});
  }
  return cases;
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  for (const char* column : {"reference", "cpu"}) {
    graft_device* device = nullptr;
    ensure(graft_device_open(column, 2, 1, &device) == GRAFT_OK, graft_last_error());
    for (const ProductCase& p : product_cases()) product(harness, device, column, p);
    graft_device_close(device);
  }
  return harness.finish();
}
