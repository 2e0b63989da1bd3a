// Calls of kernels on the caller's memory through the C interface, of any device: products against loops in double, and the other
// families, whose outcome a test compares with another device's.
#pragma once
#include <functional>

#include "graft.h"
#include "harness.h"

namespace graft::test {

// Where calls go. With a column the operands are copies in its memory, else memory of the test itself.
struct Machine {
  std::string name;
  graft_device* device = nullptr;
  Column* column = nullptr;
  int64_t stream = 0;
};

template <class T>
int64_t count(const std::vector<T>& v) { return static_cast<int64_t>(v.size()); }

// Addresses of vectors as operands: the same vector lies at one place.
class Placed {
 public:
  explicit Placed(const Machine& machine) : column_(machine.column) {}
  ~Placed() {
    for (const Copy& c : copies_) column_->release(c.address, c.bytes);
  }
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;

  template <class T>
  int64_t operator()(std::vector<T>& v) {
    if (!column_) return reinterpret_cast<int64_t>(v.data());
    for (const Copy& c : copies_)
      if (c.host == v.data()) return reinterpret_cast<int64_t>(c.address);
    const size_t bytes = v.size() * sizeof(T);
    copies_.push_back({v.data(), column_->allocate(bytes), bytes});
    column_->copy_in(copies_.back().address, v.data(), bytes);
    return reinterpret_cast<int64_t>(copies_.back().address);
  }
  // Brings what calls wrote.
  void back() {
    for (const Copy& c : copies_) column_->copy_out(c.host, c.address, c.bytes);
  }

 private:
  struct Copy {
    void *host, *address;
    size_t bytes;
  };
  Column* column_;
  std::vector<Copy> copies_;
};

// Numbers as an operand of F32 or BF16.
class Stored {
 public:
  Stored(std::vector<float> values, int32_t type) : type_(type), wide_(std::move(values)) {
    if (type == GRAFT_BF16)
      for (float v : wide_) narrow_.push_back(float_to_bf16(v));
  }
  Stored(int64_t n, int32_t type) : Stored(std::vector<float>(n), type) {}
  int64_t in(Placed& at) { return type_ == GRAFT_BF16 ? at(narrow_) : at(wide_); }
  int64_t count() const { return static_cast<int64_t>(wide_.size()); }
  std::vector<float> values() const {
    std::vector<float> all = wide_;
    for (size_t i = 0; i < narrow_.size(); i++) all[i] = bf16_to_float(narrow_[i]);
    return all;
  }

 private:
  int32_t type_;
  std::vector<float> wide_;
  std::vector<uint16_t> narrow_;
};

inline constexpr float kSentinel = -77;

inline std::vector<float> normal(uint64_t seed, const std::string& name, int64_t n) {
  Random random(seed, name);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

inline double activated(int activation, double x) {
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
inline void product(Harness& harness, const Machine& machine, const ProductCase& p) {
  harness.test(machine.name + ": " + p.label(), [&] {
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
    std::vector<float>& r = p.in_place ? c : residual;
    const bool some = p.residual || p.in_place;
    Placed at(machine);
    int32_t status = graft_matmul(machine.device, machine.stream, p.flags, p.activation, p.factor, p.batch, p.m, p.n, p.k, GRAFT_F32, GRAFT_F32, at(a), count(a),
                                  a_row, a_step, at(b), count(b), b_row, b_step, at(c), count(c), c_row, c_step, p.bias ? at(bias) : 0, p.bias ? p.n : 0,
                                  some ? at(r) : 0, some ? count(r) : 0);
    at.back();
    harness.expect(status == GRAFT_OK, graft_last_error());
    actual.assign(c.begin(), c.end());
    // k products are rounded and added in F32: at most k half units of their sizes, which are sqrt(k) together.
    harness.expect_close("c", expected, actual, 2e-7 * std::sqrt(static_cast<double>(p.k)) + 4e-7, std::fabs(p.factor) * std::sqrt(static_cast<double>(p.k)) + 1);
  });
}

inline std::vector<ProductCase> product_cases() {
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

inline void done(int32_t status) { ensure(status == GRAFT_OK, graft_last_error()); }

inline Outcome cross_entropy(const Machine& machine, uint64_t seed, int32_t type, int64_t rows, int64_t classes, bool soft, bool in_place) {
  Stored x(normal(seed, "logits", rows * classes), type), gradient(in_place ? 0 : rows * classes, type);
  std::vector<float> weight(classes), q(rows * classes, 1.0f / static_cast<float>(classes));
  std::vector<int32_t> labels(rows);
  for (int64_t r = 0; r < rows; r++) labels[r] = r % 5 == 3 ? -100 : static_cast<int32_t>(r * 13 % classes);
  for (int64_t k = 0; k < classes; k++) weight[k] = 0.5f + static_cast<float>(k % 3);
  Stored& g = in_place ? x : gradient;
  std::vector<float> results(2);
  Placed at(machine);
  done(graft_softmax_cross_entropy(machine.device, machine.stream, type, rows, classes, 0.1, -100, 1.5, 0, x.in(at), x.count(), soft ? GRAFT_F32 : GRAFT_I32,
                                   soft ? at(q) : at(labels), soft ? count(q) : rows, at(weight), classes, g.in(at), g.count(), at(results), 2));
  at.back();
  Outcome all(results.begin(), results.end());
  append(all, g.values());
  return all;
}

inline Outcome linear_cross_entropy(const Machine& machine, uint64_t seed, int32_t type, int64_t rows, int64_t chunk, bool soft, bool in_place) {
  const int64_t features = 19, classes = 131, bytes = type == GRAFT_F32 ? 4 : 2;
  Stored x(normal(seed, "x", rows * features), type), w(normal(seed, "w", classes * features), type), dx(in_place ? 0 : rows * features, type);
  std::vector<float> bias = normal(seed, "bias", classes), q(rows * classes, 1.0f / static_cast<float>(classes)), dw = normal(seed, "dw", classes * features), db(classes, 1);
  std::vector<int32_t> labels(rows);
  for (int64_t r = 0; r < rows; r++) labels[r] = r % 5 == 3 ? -100 : static_cast<int32_t>(r * 13 % classes);
  Stored& g = in_place ? x : dx;
  std::vector<float> results(2);
  Placed at(machine);
  done(graft_linear_cross_entropy(machine.device, machine.stream, type, rows, features, classes, 0.1, -100, 1.5, 0, chunk * classes * bytes, 1, x.in(at), x.count(), w.in(at),
                                  w.count(), at(bias), classes, soft ? GRAFT_F32 : GRAFT_I32, soft ? at(q) : at(labels), soft ? count(q) : rows, 0, 0, g.in(at), g.count(),
                                  at(dw), count(dw), at(db), classes, at(results), 2));
  at.back();
  Outcome all(results.begin(), results.end());
  append(all, g.values());
  for (const auto* part : {&dw, &db}) append(all, *part);
  return all;
}

inline Outcome optimizer(const Machine& machine, uint64_t seed, int32_t kind, int64_t elements) {
  std::vector<float> w = normal(seed, "w", elements), g = normal(seed, "g", elements), m(elements), v(elements), anchor = normal(seed, "anchor", elements);
  std::vector<uint8_t> mask((elements + 7) / 8);
  Random random(seed, "mask");
  for (uint8_t& byte : mask) byte = static_cast<uint8_t>(random.below(256));
  const int64_t ranges[] = {1, elements / 3, elements / 2, elements};
  const bool adam = kind != GRAFT_SGD;
  std::vector<float> norm(1), average = w;
  std::vector<uint16_t> copy(elements);
  Placed at(machine);
  for (int64_t update = 1; update <= 2; update++)
    done(graft_optimizer_step(machine.device, machine.stream, kind, adam ? 0 : 0.9, !adam, 0.9, 0.999, 1e-8, 0.01, 0.1, 0.5, 3, 0.75, update, elements, ranges, 2, at(w),
                              elements, at(g), elements, at(m), elements, adam ? at(v) : 0, adam ? elements : 0, at(anchor), elements, at(mask), count(mask),
                              at(norm), 1, at(average), elements, at(copy), elements));
  at.back();
  Outcome all{norm[0]};
  for (const auto* part : {&w, &m, &v, &average}) append(all, *part);
  for (int64_t i = 0; i < elements; i++) {
    const bool live = mask[i / 8] >> i % 8 & 1 && ((i >= ranges[0] && i < ranges[1]) || i >= ranges[2]);
    all.push_back(live ? bf16_to_float(copy[i]) - bf16_to_float(float_to_bf16(w[i])) : copy[i]);  // 0: rounded once, and nothing where nothing is live
  }
  return all;
}

inline Outcome low_rank(const Machine& machine, uint64_t seed, int32_t type, int64_t rows, int64_t in, int64_t out, int64_t rank, int64_t adapters) {
  const int64_t width = out / 3, starts[] = {0, out - width}, updates = std::max<int64_t>(adapters, 1);
  Stored x(normal(seed, "x", rows * in), type), w(normal(seed, "w", out * in), type), a(normal(seed, "a", updates * 2 * rank * in), type);
  Stored b(normal(seed, "b", updates * 2 * width * rank), type), y(rows * out, type), dy(normal(seed, "dy", rows * out), type), dx(rows * in, type);
  std::vector<float> bias = normal(seed, "bias", out), t(rows * 2 * rank), da(a.count()), db(b.count()), scales(adapters, 0.5f);
  std::vector<int32_t> adapter(adapters ? rows : 0);
  for (size_t i = 0; i < adapter.size(); i++) adapter[i] = static_cast<int32_t>(i % (adapters + 1)) - 1;
  Placed at(machine);
  const int64_t samples = count(adapter), of_adapter = samples ? at(adapter) : 0, of_scales = adapters ? at(scales) : 0;
  done(graft_low_rank_forward(machine.device, machine.stream, type, rows, in, out, rank, 0.75, 2, width, starts, adapters, samples, x.in(at), x.count(), w.in(at),
                              w.count(), at(bias), count(bias), a.in(at), a.count(), b.in(at), b.count(), of_adapter, samples, of_scales, adapters, y.in(at),
                              y.count(), at(t), count(t)));
  done(graft_low_rank_backward(machine.device, machine.stream, type, rows, in, out, rank, 0.75, 2, width, starts, adapters, samples, 0, x.in(at), x.count(),
                               w.in(at), w.count(), a.in(at), a.count(), b.in(at), b.count(), of_adapter, samples, of_scales, adapters, at(t), count(t),
                               dy.in(at), dy.count(), dx.in(at), dx.count(), at(da), count(da), at(db), count(db)));
  at.back();
  Outcome all;
  for (const Stored* part : {&y, &dx}) append(all, part->values());
  for (const auto* part : {&t, &da, &db}) append(all, *part);
  return all;
}

inline Outcome merge(const Machine& machine, uint64_t seed, int32_t type, int64_t rows, int64_t columns, int64_t rank, int64_t width) {
  const int64_t starts[] = {0, rows - width};
  Stored w(normal(seed, "w", rows * columns), type), a(normal(seed, "a", 2 * rank * columns), type), b(normal(seed, "b", 2 * width * rank), type);
  Placed at(machine);
  done(graft_low_rank_merge(machine.device, machine.stream, type, rows, columns, rank, 0.25, 2, width, starts, w.in(at), w.count(), a.in(at), a.count(), b.in(at),
                            b.count()));
  at.back();
  const std::vector<float> merged = w.values();
  return {merged.begin(), merged.end()};
}

struct Family {
  std::string name;
  std::function<Outcome(const Machine&)> run;
  double tolerance, scale;
  // 0 or: the scale for a column that rounds t = x a' to bf16 before it multiplies, whose results are off by roundings of numbers of this size:
  // t is a sum of 65 products, some 8, and the gradients of a and b sum over the rows.
  double rounded_scale = 0;
};

inline std::vector<Family> families(uint64_t seed) {
  std::vector<Family> all;
  // Sums of some hundred F32 products and exponentials; Adam divides by roots of small second moments.
  constexpr double kF32 = 2e-5;
  // What is stored in bf16 may be the neighbour where sums differ in F32.
  constexpr double kBf16 = 0x1p-7;
  for (int32_t type : {GRAFT_F32, GRAFT_BF16}) {
    const bool wide = type == GRAFT_F32;
    const std::string in = wide ? "" : " in bf16";
    const double tolerance = wide ? kF32 : kBf16;
    for (int64_t rows : {1, 7, 300})
      for (bool soft : {false, true})
        for (bool in_place : {false, true})
          all.push_back({text("cross-entropy ", rows, soft ? " soft" : "", in_place ? " in place" : "", in),
                         [=](const Machine& d) { return cross_entropy(d, seed, type, rows, 131, soft, in_place); }, tolerance, wide ? 1 : 1e-5});
    for (int64_t rows : {1, 37})
      for (bool soft : {false, true})
        all.push_back({text("linear cross-entropy ", rows, soft ? " soft" : " in place", in),
                       [=](const Machine& d) { return linear_cross_entropy(d, seed, type, rows, soft ? 0 : 9, soft, !soft); }, tolerance, 1});
    for (int64_t rank : {1, 5, 33})
      all.push_back({text("merge of rank ", rank, in), [=](const Machine& d) { return merge(d, seed, type, 67, 70, rank, 31); }, tolerance, wide ? 1 : 0.05});
    for (int64_t adapters : {0, 3})
      for (int64_t rows : {5, 133})
        all.push_back({text("low rank ", rows, " rows, ", adapters, " adapters", in),
                       [=](const Machine& d) { return low_rank(d, seed, type, rows, 65, 51, 4, adapters); }, tolerance, wide ? 1 : 0.05,
                       wide ? 1 : 8 * std::sqrt(static_cast<double>(rows))});
  }
  for (int32_t kind : {GRAFT_SGD, GRAFT_ADAM, GRAFT_ADAMW})
    for (int64_t elements : {int64_t{9}, int64_t{1001}, int64_t{140001}})
      all.push_back({text("optimizer ", kind, " of ", elements), [=](const Machine& d) { return optimizer(d, seed, kind, elements); }, kF32, 1});
  return all;
}

}  // namespace graft::test
