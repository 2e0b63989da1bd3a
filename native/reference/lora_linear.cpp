// lora_linear: a linear layer with a low-rank update of its (usually frozen) weight inside it (Hu et al. 2021).
//   y[r, :] = x[r, :] w^T + bias, and for each slice i: y[r, start_i : start_i + width] += s[r] (z[r, :] a_i^T) b_i^T
// a_i are rows i * rank.. of a, b_i rows i * width.. of b; z is x where it is absent (it differs where the branch has dropout).
// Without `adapter` s is `factor`. With it a and b hold one update per adapter along a leading axis, the rows of sample i use
// those of adapter[i] and s = factor * scales[adapter[i]]; -1 is none. Any other number makes the sample's rows NaN, which halts
// a training, and its rows give no gradient through the update.
// Saved for backward: t = z a^T, [rows, slices * rank], 0 where there is no adapter.
#include <cmath>
#include <limits>

#include "reference.h"

namespace graft::reference {
namespace {

enum { X, W, Bias, A, B, Z, Adapter, Scales };

constexpr int64_t kMostSlices = 8;
constexpr const char* kStarts[kMostSlices] = {"start0", "start1", "start2", "start3", "start4", "start5", "start6", "start7"};

struct Sizes {
  int64_t rows, in, out, rank, slices, width, adapters, samples;
  explicit Sizes(const OpCall& call)
      : in(call.inputs[W].shape[1]), out(call.inputs[W].shape[0]), rank(call.inputs[B].shape[-1]), slices(call.integer("slices")),
        width(call.integer("width")), adapters(call.has(Adapter) ? call.inputs[A].shape[0] : 1),
        samples(call.has(Adapter) ? call.inputs[Adapter].shape[0] : 1) {
    rows = call.inputs[X].count() / in;
    if (width == 0) width = out;
  }
};

void check_slices(const OpCall& call, const Sizes& z) {
  int64_t free = 0;  // first column that no slice has taken
  for (int64_t i = 0; i < z.slices; i++) {
    int64_t start = call.integer(kStarts[i]);
    require(start >= free && start + z.width <= z.out, "lora_linear: slices must ascend without overlap within the ", z.out,
            " columns, but slice ", i, " is columns ", start, "..", start + z.width - 1, i ? text(" behind column ", free - 1) : "");
    free = start + z.width;
  }
}

void check_update(const OpCall& call) {
  const Shape &a = call.inputs[A].shape, &b = call.inputs[B].shape, &w = call.inputs[W].shape;
  const int64_t slices = call.integer("slices"), width = call.integer("width");
  require(slices >= 1 && slices <= kMostSlices, "lora_linear: slices must lie in 1..", kMostSlices, ", got ", slices);
  require(width >= 0 && width <= w[0], "lora_linear: width must lie in 0..", w[0], ", got ", width);
  const bool grouped = call.has(Adapter);
  const char* axes = grouped ? "three axes, the adapter's first, as adapter is given" : "two axes";
  require(a.rank == (grouped ? 3 : 2) && b.rank == a.rank, "lora_linear: a and b must have ", axes, ", got ", a.str(), " and ", b.str());
  const Sizes z(call);
  Shape a_wanted{z.slices * z.rank, z.in}, b_wanted{z.slices * z.width, z.rank};
  if (grouped) a_wanted = {z.adapters, a_wanted[0], z.in}, b_wanted = {z.adapters, b_wanted[0], z.rank};
  require(b == b_wanted, "lora_linear: b must be ", b_wanted.str(), " for ", z.slices, " slices of ", z.width, " columns, got ", b.str());
  require(a == a_wanted, "lora_linear: a must be ", a_wanted.str(), " for ", z.slices, " slices of rank ", z.rank, " (the last axis of b ",
          b.str(), ") over ", z.in, " features, got ", a.str());
  check_slices(call, z);
  if (grouped) {
    const TensorType& adapter = call.inputs[Adapter];
    require(adapter.dtype == DType::I32 && adapter.shape.rank == 1 && adapter.count() > 0 && z.rows % adapter.count() == 0,
            "lora_linear: adapter must be i32 with one number per sample of the ", z.rows, " rows, got ", name_of(adapter.dtype), " ",
            adapter.shape.str());
  }
  if (!call.has(Scales)) return;
  require(grouped, "lora_linear: scales are per adapter and need adapter");
  require(call.inputs[Scales].shape == Shape{z.adapters}, "lora_linear: scales must be [", z.adapters, "], got ", call.inputs[Scales].shape.str());
}

std::vector<TensorType> infer(const OpCall& call) {
  const Shape &x = call.inputs[X].shape, &w = call.inputs[W].shape;
  require_float(call, X, "lora_linear", "x");
  require(x.rank >= 1, "lora_linear: x must have at least one axis, got ", x.str());
  require(w.rank == 2, "lora_linear: weight must be [out, in], got ", w.str());
  require(x[-1] == w[1], "lora_linear: x ", x.str(), " has ", x[-1], " features, weight ", w.str(), " expects ", w[1]);
  if (call.has(Bias))
    require(call.inputs[Bias].shape == Shape{w[0]}, "lora_linear: bias must be [", w[0], "], got ", call.inputs[Bias].shape.str());
  if (call.has(Z)) {
    require_float(call, Z, "lora_linear", "z");
    require(call.inputs[Z].shape == x, "lora_linear: z must be as x ", x.str(), ", got ", call.inputs[Z].shape.str());
  }
  require(std::isfinite(call.number("factor")), "lora_linear: factor must be finite, got ", call.number("factor"));
  check_update(call);
  TensorType y = call.inputs[X];
  y.shape[-1] = w[0];
  const Sizes z(call);
  return {y, {y.dtype == DType::F64 ? DType::F64 : DType::F32, {z.rows, z.slices * z.rank}}};
}

// The factor's gradient and that of t read b; dt leads on to a and to what the branch reads.
OpDef::Reads backward_reads(const OpCall& call, const std::vector<bool>& wanted) {
  auto want = [&](size_t i) { return i < wanted.size() && wanted[i]; };
  const size_t branch = call.has(Z) ? Z : X;
  const bool through_a = want(A) || want(branch);
  OpDef::Reads reads = reads_nothing(call, wanted);
  auto read = [&](size_t i, bool needed) {
    if (call.has(i)) reads.inputs[i] = needed;
  };
  read(X, want(W) || (branch == X && want(A)));
  read(W, want(X));
  read(A, want(branch));
  read(B, through_a || want(Scales));
  read(Z, want(A));
  read(Adapter, through_a || want(B) || want(Scales));
  read(Scales, through_a || want(B));
  reads.outputs[1] = want(B) || want(Scales);
  return reads;
}

// Which update a row has and with what factor, and where its parts lie.
class Branch {
 public:
  explicit Branch(const Run& run) : Branch(run, Sizes({run.request.attributes, run.request.inputs})) {}
  const Sizes sizes;

  static constexpr int64_t kNone = -1, kInvalid = -2;
  int64_t adapter(int64_t row) const {
    if (!adapter_) return 0;
    const double g = adapter_[row / (sizes.rows / sizes.samples)];
    return g >= kNone && g < static_cast<double>(sizes.adapters) ? static_cast<int64_t>(g) : kInvalid;
  }
  double factor(int64_t g) const { return factor_ * (scales_ ? scales_[g] : 1); }
  double unscaled() const { return factor_; }
  // Slice that writes column n, or -1.
  int64_t slice(int64_t n) const {
    for (int64_t i = 0; i < sizes.slices; i++)
      if (n >= starts_[i] && n < starts_[i] + sizes.width) return i;
    return -1;
  }
  int64_t start(int64_t slice) const { return starts_[slice]; }
  int64_t at_a(int64_t g, int64_t j, int64_t k) const { return (g * sizes.slices * sizes.rank + j) * sizes.in + k; }
  int64_t at_b(int64_t g, int64_t slice, int64_t n, int64_t j) const {
    return ((g * sizes.slices + slice) * sizes.width + n - starts_[slice]) * sizes.rank + j;
  }
  int64_t at_t(int64_t row, int64_t j) const { return row * sizes.slices * sizes.rank + j; }
  // d(result) / d(t) without the factor: sum over the slice's columns of g[row, n] b[n, j].
  double through_b(const In& g, const In& b, int64_t row, int64_t adapter, int64_t j) const {
    const int64_t slice = j / sizes.rank;
    double sum = 0;
    for (int64_t n = starts_[slice]; n < starts_[slice] + sizes.width; n++) sum += g[row * sizes.out + n] * b[at_b(adapter, slice, n, j % sizes.rank)];
    return sum;
  }

 private:
  Branch(const Run& run, const Sizes& z) : sizes(z), adapter_(run.in(Adapter)), scales_(run.in(Scales)), factor_(run.number("factor")) {
    for (int64_t i = 0; i < sizes.slices; i++) starts_[i] = run.integer(kStarts[i]);
  }
  In adapter_, scales_;
  double factor_;
  int64_t starts_[kMostSlices] = {};
};

void forward(const Run& run) {
  const Branch u(run);
  const Sizes& s = u.sizes;
  In x = run.in(X), w = run.in(W), bias = run.in(Bias), a = run.in(A), b = run.in(B), z = run.has(Z) ? run.in(Z) : x;
  Result y = run.result();
  Out saved = run.out(1);
  double* t = run.sums();
  for (int64_t r = 0; r < s.rows; r++) {
    const int64_t g = u.adapter(r);
    for (int64_t j = 0; j < s.slices * s.rank; j++) {
      t[j] = 0;
      for (int64_t k = 0; g >= 0 && k < s.in; k++) t[j] += z[r * s.in + k] * a[u.at_a(g, j, k)];
      saved.put(u.at_t(r, j), t[j]);
    }
    for (int64_t n = 0; n < s.out; n++) {
      double sum = bias ? bias[n] : 0;
      for (int64_t k = 0; k < s.in; k++) sum += x[r * s.in + k] * w[n * s.in + k];
      const int64_t slice = u.slice(n);
      for (int64_t j = 0; g >= 0 && slice >= 0 && j < s.rank; j++) sum += u.factor(g) * t[slice * s.rank + j] * b[u.at_b(g, slice, n, j)];
      y.put(r * s.out + n, g == Branch::kInvalid ? std::numeric_limits<double>::quiet_NaN() : sum);
    }
  }
}

// Of the linear layer; dx gets dt a on top where the branch reads x.
void base_gradients(const Run& run, const Branch& u, const In& g, const double* dt, const Gradient& dx) {
  const Sizes& s = u.sizes;
  In x = run.in(X), w = run.in(W), a = run.in(A);
  Gradient dw = run.gradient(W), dbias = run.gradient(Bias);
  const bool branches = !run.has(Z);
  for (int64_t r = 0; dx.wanted() && r < s.rows; r++)
    for (int64_t k = 0; k < s.in; k++) {
      double sum = 0;
      for (int64_t n = 0; n < s.out; n++) sum += g[r * s.out + n] * w[n * s.in + k];
      const int64_t adapter = branches ? u.adapter(r) : Branch::kNone;
      for (int64_t j = 0; adapter >= 0 && j < s.slices * s.rank; j++) sum += dt[u.at_t(r, j)] * a[u.at_a(adapter, j, k)];
      dx.put(r * s.in + k, sum);
    }
  for (int64_t n = 0; n < s.out; n++) {
    double sum_g = 0;
    for (int64_t r = 0; r < s.rows; r++) sum_g += g[r * s.out + n];
    dbias.put(n, sum_g);
    for (int64_t k = 0; dw.wanted() && k < s.in; k++) {
      double sum = 0;
      for (int64_t r = 0; r < s.rows; r++) sum += g[r * s.out + n] * x[r * s.in + k];
      dw.put(n * s.in + k, sum);
    }
  }
}

void backward(const Run& run) {
  const Branch u(run);
  const Sizes& s = u.sizes;
  const int64_t columns = s.slices * s.rank;
  In g = run.result_gradient(), a = run.in(A), b = run.in(B), z = run.has(Z) ? run.in(Z) : run.in(X), t = run.saved(1);
  Gradient dx = run.gradient(X), da = run.gradient(A), db = run.gradient(B), dz = run.gradient(Z), dscales = run.gradient(Scales);
  double* dt = run.sums();  // gradient of t
  if (da.wanted() || dz.wanted() || (dx.wanted() && !run.has(Z)))
    for (int64_t r = 0; r < s.rows; r++)
      for (int64_t j = 0, adapter = u.adapter(r); j < columns; j++)
        dt[u.at_t(r, j)] = adapter >= 0 ? u.factor(adapter) * u.through_b(g, b, r, adapter, j) : 0;
  base_gradients(run, u, g, dt, dx);
  for (int64_t r = 0; dz.wanted() && r < s.rows; r++)
    for (int64_t k = 0, adapter = u.adapter(r); k < s.in; k++) {
      double sum = 0;
      for (int64_t j = 0; adapter >= 0 && j < columns; j++) sum += dt[u.at_t(r, j)] * a[u.at_a(adapter, j, k)];
      dz.put(r * s.in + k, sum);
    }
  for (int64_t adapter = 0; adapter < s.adapters; adapter++) {
    auto over_rows = [&](auto&& term) {
      double sum = 0;
      for (int64_t r = 0; r < s.rows; r++)
        if (u.adapter(r) == adapter) sum += term(r);
      return sum;
    };
    for (int64_t j = 0; da.wanted() && j < columns; j++)
      for (int64_t k = 0; k < s.in; k++) da.put(u.at_a(adapter, j, k), over_rows([&](int64_t r) { return dt[u.at_t(r, j)] * z[r * s.in + k]; }));
    for (int64_t i = 0; db.wanted() && i < s.slices; i++)
      for (int64_t n = u.start(i); n < u.start(i) + s.width; n++)
        for (int64_t j = 0; j < s.rank; j++)
          db.put(u.at_b(adapter, i, n, j),
                 u.factor(adapter) * over_rows([&](int64_t r) { return g[r * s.out + n] * t[u.at_t(r, i * s.rank + j)]; }));
    if (dscales.wanted())
      dscales.put(adapter, u.unscaled() * over_rows([&](int64_t r) {
                    double sum = 0;
                    for (int64_t j = 0; j < columns; j++) sum += t[u.at_t(r, j)] * u.through_b(g, b, r, adapter, j);
                    return sum;
                  }));
  }
}

size_t sums(const Request& r) { return static_cast<size_t>(r.outputs[1].count()); }

}  // namespace

void add_lora_linear() {
  OpDef def;
  def.name = "lora_linear";
  def.inputs = {{"x"}, {"weight", Role::Weight}, {"bias", Role::Vector, true}, {"a", Role::Weight}, {"b", Role::Weight},
                {"z", Role::Data, true}, {"adapter", Role::Exact, true}, {"scales", Role::Vector, true}};
  def.attributes = {{"factor", 0, true}, {"slices", 1}, {"width"}};
  for (const char* start : kStarts) def.attributes.push_back({start});
  def.infer = infer;
  def.backward_reads = backward_reads;
  add_op(def, {forward, backward, sums, true});
}

}  // namespace graft::reference
