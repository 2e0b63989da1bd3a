// Kernels on the caller's memory through the C interface: products against loops in double, the other families on the CPU column
// against the reference, all of them misused and by many threads at once.
#include <functional>
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

// Everything that one call of a family wrote, in double.
using Outcome = std::vector<double>;

template <class T>
void append(Outcome& all, const std::vector<T>& part) { all.insert(all.end(), part.begin(), part.end()); }

void done(int32_t status) { ensure(status == GRAFT_OK, graft_last_error()); }

Outcome cross_entropy(graft_device* device, uint64_t seed, int64_t rows, int64_t classes, bool soft, bool in_place) {
  std::vector<float> x = normal(seed, "logits", rows * classes), gradient(in_place ? 0 : rows * classes), weight(classes), q(rows * classes, 1.0f / static_cast<float>(classes));
  std::vector<int32_t> labels(rows);
  for (int64_t r = 0; r < rows; r++) labels[r] = r % 5 == 3 ? -100 : static_cast<int32_t>(r * 13 % classes);
  for (int64_t k = 0; k < classes; k++) weight[k] = 0.5f + static_cast<float>(k % 3);
  std::vector<float>& g = in_place ? x : gradient;
  double results[2] = {};
  done(graft_softmax_cross_entropy(device, rows, classes, 0.1, -100, 1.5, 0, place(x.data()), rows * classes, soft ? GRAFT_F32 : GRAFT_I32,
                                   soft ? place(q.data()) : place(labels.data()), soft ? rows * classes : rows, place(weight.data()), classes,
                                   place(g.data()), rows * classes, results));
  Outcome all(results, results + 2);
  append(all, g);
  return all;
}

Outcome optimizer(graft_device* device, uint64_t seed, int32_t kind, int64_t count) {
  std::vector<float> w = normal(seed, "w", count), g = normal(seed, "g", count), m(count), v(count), anchor = normal(seed, "anchor", count);
  std::vector<uint8_t> mask((count + 7) / 8);
  Random random(seed, "mask");
  for (uint8_t& byte : mask) byte = static_cast<uint8_t>(random.below(256));
  const int64_t ranges[] = {1, count / 3, count / 2, count};
  const bool adam = kind != GRAFT_SGD;
  double norm = 0;
  for (int64_t update = 1; update <= 2; update++)
    done(graft_optimizer_step(device, kind, adam ? 0 : 0.9, !adam, 0.9, 0.999, 1e-8, 0.01, 0.1, 0.5, 3, update, count, ranges, 2, place(w.data()), count,
                              place(g.data()), count, place(m.data()), count, adam ? place(v.data()) : 0, adam ? count : 0, place(anchor.data()), count,
                              place(mask.data()), static_cast<int64_t>(mask.size()), &norm));
  Outcome all{norm};
  for (const auto* part : {&w, &m, &v}) append(all, *part);
  return all;
}

Outcome low_rank(graft_device* device, uint64_t seed, int64_t rows, int64_t in, int64_t out, int64_t rank, int64_t adapters) {
  const int64_t width = out / 3, starts[] = {0, out - width}, all_updates = std::max<int64_t>(adapters, 1);
  std::vector<float> x = normal(seed, "x", rows * in), w = normal(seed, "w", out * in), bias = normal(seed, "bias", out);
  std::vector<float> a = normal(seed, "a", all_updates * 2 * rank * in), b = normal(seed, "b", all_updates * 2 * width * rank), y(rows * out), t(rows * 2 * rank);
  std::vector<float> dy = normal(seed, "dy", rows * out), dx(x.size()), da(a.size()), db(b.size()), scales(adapters, 0.5f);
  std::vector<int32_t> adapter(adapters ? rows : 0);
  for (size_t i = 0; i < adapter.size(); i++) adapter[i] = static_cast<int32_t>(i % (adapters + 1)) - 1;
  auto of = [](auto& v) { return v.empty() ? 0 : place(v.data()); };
  auto count = [](auto& v) { return static_cast<int64_t>(v.size()); };
  const int64_t samples = count(adapter);
  done(graft_low_rank_forward(device, rows, in, out, rank, 0.75, 2, width, starts, adapters, samples, of(x), count(x), of(w), count(w), of(bias), count(bias),
                              of(a), count(a), of(b), count(b), of(adapter), samples, of(scales), adapters, of(y), count(y), of(t), count(t)));
  done(graft_low_rank_backward(device, rows, in, out, rank, 0.75, 2, width, starts, adapters, samples, 0, of(x), count(x), of(w), count(w), of(a), count(a),
                               of(b), count(b), of(adapter), samples, of(scales), adapters, of(t), count(t), of(dy), count(dy), of(dx), count(dx), of(da),
                               count(da), of(db), count(db)));
  Outcome all;
  for (const auto* part : {&y, &t, &dx, &da, &db}) append(all, *part);
  return all;
}

struct Family {
  std::string name;
  std::function<Outcome(graft_device*)> run;
};

std::vector<Family> families(uint64_t seed) {
  std::vector<Family> all;
  for (int64_t rows : {1, 7, 300})
    for (bool soft : {false, true})
      for (bool in_place : {false, true})
        all.push_back({text("cross-entropy ", rows, soft ? " soft" : "", in_place ? " in place" : ""), [=](graft_device* d) { return cross_entropy(d, seed, rows, 131, soft, in_place); }});
  for (int32_t kind : {GRAFT_SGD, GRAFT_ADAM, GRAFT_ADAMW})
    for (int64_t count : {int64_t{9}, int64_t{1001}, int64_t{140001}})
      all.push_back({text("optimizer ", kind, " of ", count), [=](graft_device* d) { return optimizer(d, seed, kind, count); }});
  for (int64_t adapters : {0, 3})
    for (int64_t rows : {5, 133})
      all.push_back({text("low rank ", rows, " rows, ", adapters, " adapters"), [=](graft_device* d) { return low_rank(d, seed, rows, 65, 51, 4, adapters); }});
  return all;
}

void misuse(Harness& harness, graft_device* device) {
  std::vector<float> memory(64);
  const int64_t at = place(memory.data()), starts[] = {0};
  double results[2] = {};
  auto refuses = [&](const std::string& part, int32_t status) {
    const std::string message = graft_last_error();
    harness.test("misuse: " + part, [&] {
      harness.expect(status == GRAFT_INVALID_ARGUMENT && message.find(part) != std::string::npos, "status ", status, ", expected a message that says: ", part,
                     ", got: ", message);
    });
  };
  auto matmul = [&](graft_device* d, int32_t flags, int32_t activation, int32_t type, int64_t c) {
    return graft_matmul(d, flags, activation, 1, 1, 2, 2, 2, type, type, at, 4, 2, 4, at + 16, 4, 2, 4, c, 4, 2, 4, 0, 0, 0, 0);
  };
  refuses("device is null", matmul(nullptr, 0, 0, GRAFT_F32, at + 64));
  refuses("flags are 8", matmul(device, 8, 0, GRAFT_F32, at + 64));
  refuses("no activation has the code 6", matmul(device, 0, 6, GRAFT_F32, at + 64));
  refuses("type has the code 3", matmul(device, 0, 0, GRAFT_I32, at + 64));
  refuses("c: the address is null", matmul(device, 0, 0, GRAFT_F32, 0));
  refuses("c: address -4", matmul(device, 0, 0, GRAFT_F32, -4));
  refuses("c overlaps a", matmul(device, 0, 0, GRAFT_F32, at + 12));
  auto loss = [&](int32_t type, double* to) { return graft_softmax_cross_entropy(device, 2, 2, 0, -100, 1, 0, at, 4, type, at + 16, 4, 0, 0, 0, 0, to); };
  refuses("results is null", loss(GRAFT_I32, nullptr));
  refuses("target_type has the code 1", loss(GRAFT_BF16, results));
  auto step = [&](int32_t kind, int32_t ranges, double* norm) {
    return graft_optimizer_step(device, kind, 0, 0, 0, 0, 0, 0.1, 0, 0, 0, 1, 4, nullptr, ranges, at, 4, at + 16, 4, 0, 0, 0, 0, 0, 0, 0, 0, norm);
  };
  refuses("no optimizer has the code 3", step(3, 0, results));
  refuses("ranges are null", step(GRAFT_SGD, 1, results));
  refuses("norm is null", step(GRAFT_SGD, 0, nullptr));
  auto forward = [&](int32_t slices, const int64_t* from, int64_t adapters) {
    return graft_low_rank_forward(device, 1, 2, 2, 1, 1, slices, 2, from, adapters, 1, at, 2, at + 16, 4, 0, 0, at + 32, 2, at + 48, 2, 0, 0, 0, 0, at + 64, 2, at + 80, 1);
  };
  refuses("starts is null", forward(1, nullptr, 0));
  refuses("slices are 9", forward(9, starts, 0));
  refuses("adapters are -1", forward(1, starts, -1));
  refuses("adapter: the address is null", forward(1, starts, 1));
}

}  // namespace

int main(int argc, char** argv) {
  Harness harness(argc, argv);
  graft_device *reference = nullptr, *cpu = nullptr;
  done(graft_device_open("reference", 1, 1, &reference));
  done(graft_device_open("cpu", 2, 2, &cpu));
  for (const ProductCase& p : product_cases()) {
    product(harness, reference, "reference", p);
    product(harness, cpu, "cpu", p);
  }
  const std::vector<Family> all = families(harness.seed());
  for (const Family& f : all)
    harness.test(f.name, [&] {
      // Sums of some hundred F32 products and exponentials; Adam divides by roots of small second moments.
      harness.expect_close("result", f.run(reference), f.run(cpu), 2e-5, 1);
    });
  harness.test("many threads get the same bits", [&] {
    std::vector<Outcome> expected;
    for (const Family& f : all) expected.push_back(f.run(cpu));
    std::vector<std::thread> threads;
    std::vector<int> wrong(8);
    for (size_t t = 0; t < wrong.size(); t++)
      threads.emplace_back([&, t] {
        for (size_t i = 0; i < 2 * all.size(); i++) {
          const size_t f = (i + 3 * t) % all.size();
          wrong[t] += all[f].run(cpu) != expected[f];
        }
      });
    for (std::thread& t : threads) t.join();
    for (int n : wrong) harness.expect(n == 0, n, " results differ");
  });
  misuse(harness, cpu);
  graft_device_close(cpu);
  graft_device_close(reference);
  return harness.finish();
}
