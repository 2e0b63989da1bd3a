// linear: y[r, n] = sum_k x[r, k] w[n, k] + b[n], over the last axis of x.
// matmul: y[b] = factor * op(a[b]) op(b[b]), op transposing the last two axes where asked; leading axes equal or 1.
#include "reference.h"

namespace graft::reference {
namespace {

std::vector<TensorType> linear_infer(const OpCall& call) {
  const Shape &x = call.inputs[0].shape, &w = call.inputs[1].shape;
  require_float(call, 0, "linear", "x");
  require(x.rank >= 1, "linear: x must have at least one axis, got ", x.str());
  require(w.rank == 2, "linear: weight must be [out, in], got ", w.str());
  require(x[-1] == w[1], "linear: x ", x.str(), " has ", x[-1], " features, weight ", w.str(), " expects ", w[1]);
  if (call.has(2))
    require(call.inputs[2].shape == Shape{w[0]}, "linear: bias must be [", w[0], "], got ", call.inputs[2].shape.str());
  TensorType y = call.inputs[0];
  y.shape[-1] = w[0];
  return {y};
}

OpDef::Reads linear_reads(const OpCall& call, const std::vector<bool>& wanted) {
  OpDef::Reads reads = reads_nothing(call, wanted);
  reads.inputs[0] = wanted[1];
  reads.inputs[1] = wanted[0];
  return reads;
}

void linear_forward(const Run& run) {
  int64_t k = run.in_shape(1)[1], n = run.in_shape(1)[0], rows = run.in_shape(0).count() / k;
  In x = run.in(0), w = run.in(1), b = run.in(2);
  Result y = run.result();
  for (int64_t r = 0; r < rows; r++)
    for (int64_t j = 0; j < n; j++) {
      double sum = b ? b[j] : 0;
      for (int64_t i = 0; i < k; i++) sum += x[r * k + i] * w[j * k + i];
      y.put(r * n + j, sum);
    }
}

void linear_backward(const Run& run) {
  int64_t k = run.in_shape(1)[1], n = run.in_shape(1)[0], rows = run.in_shape(0).count() / k;
  In x = run.in(0), w = run.in(1), g = run.result_gradient();
  Gradient dx = run.gradient(0), dw = run.gradient(1), db = run.gradient(2);
  if (dx.wanted())
    for (int64_t r = 0; r < rows; r++)
      for (int64_t i = 0; i < k; i++) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++) sum += g[r * n + j] * w[j * k + i];
        dx.put(r * k + i, sum);
      }
  if (dw.wanted())
    for (int64_t j = 0; j < n; j++)
      for (int64_t i = 0; i < k; i++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++) sum += g[r * n + j] * x[r * k + i];
        dw.put(j * k + i, sum);
      }
  if (db.wanted())
    for (int64_t j = 0; j < n; j++) {
      double sum = 0;
      for (int64_t r = 0; r < rows; r++) sum += g[r * n + j];
      db.put(j, sum);
    }
}

// One operand of a batched product: element (i, j) of matrix `batch`, transposed or not, and where a batch axis is 1 the
// same matrix again.
struct Matrices {
  Matrices(const Shape& shape, const Shape& result, bool transposed) : rank(result.rank - 2), columns(shape[-1]) {
    rows = shape[-2];
    row_stride = transposed ? 1 : columns;
    column_stride = transposed ? columns : 1;
    if (transposed) std::swap(rows, columns);
    int64_t stride = rows * columns;
    for (int d = rank - 1; d >= 0; d--) {
      int own = d - (result.rank - shape.rank);
      int64_t size = own >= 0 ? shape[own] : 1;
      strides[d] = size == 1 ? 0 : stride;
      sizes[d] = result[d];
      stride *= size;
    }
  }
  int64_t start(int64_t batch) const {
    int64_t at = 0;
    for (int d = rank - 1; d >= 0; d--) {
      at += batch % sizes[d] * strides[d];
      batch /= sizes[d];
    }
    return at;
  }
  int64_t at(int64_t i, int64_t j) const { return i * row_stride + j * column_stride; }
  int rank;
  int64_t rows = 0, columns, row_stride, column_stride;
  int64_t strides[kMaxRank] = {}, sizes[kMaxRank] = {};
};

std::vector<TensorType> matmul_infer(const OpCall& call) {
  const Shape &a = call.inputs[0].shape, &b = call.inputs[1].shape;
  require_float(call, 0, "matmul", "a");
  require_float(call, 1, "matmul", "b");
  require(a.rank >= 2 && b.rank >= 2, "matmul: a and b need at least two axes, got ", a.str(), " and ", b.str());
  bool ta = call.integer("transpose_a") != 0, tb = call.integer("transpose_b") != 0;
  int64_t m = a[ta ? -1 : -2], ka = a[ta ? -2 : -1], kb = b[tb ? -1 : -2], n = b[tb ? -2 : -1];
  require(ka == kb, "matmul: a ", a.str(), " is summed over ", ka, " elements, b ", b.str(), " over ", kb);
  TensorType y = call.inputs[0];
  y.shape.rank = std::max(a.rank, b.rank);
  for (int d = 3; d <= y.shape.rank; d++) {
    int64_t da = d <= a.rank ? a[-d] : 1, db = d <= b.rank ? b[-d] : 1;
    require(da == db || da == 1 || db == 1, "matmul: leading axes must be equal or 1, got ", a.str(), " and ", b.str());
    y.shape[-d] = std::max(da, db);
  }
  y.shape[-2] = m;
  y.shape[-1] = n;
  return {y};
}

OpDef::Reads matmul_reads(const OpCall& call, const std::vector<bool>& wanted) {
  OpDef::Reads reads = reads_nothing(call, wanted);
  reads.inputs[0] = wanted[1];
  reads.inputs[1] = wanted[0];
  return reads;
}

void matmul_forward(const Run& run) {
  const Shape& result = run.out_shape();
  Matrices ma(run.in_shape(0), result, run.integer("transpose_a")), mb(run.in_shape(1), result, run.integer("transpose_b"));
  int64_t m = ma.rows, k = ma.columns, n = mb.columns, batches = result.count() / (m * n);
  double factor = run.number("factor");
  In a = run.in(0), b = run.in(1);
  Result y = run.result();
  for (int64_t batch = 0; batch < batches; batch++) {
    int64_t at_a = ma.start(batch), at_b = mb.start(batch);
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        for (int64_t l = 0; l < k; l++) sum += a[at_a + ma.at(i, l)] * b[at_b + mb.at(l, j)];
        y.put((batch * m + i) * n + j, factor * sum);
      }
  }
}

// d(op(a)) = factor * g op(b)^T, d(op(b)) = factor * op(a)^T g, summed over the batches that share a matrix.
void matmul_backward(const Run& run) {
  const Shape& result = run.out_shape();
  Matrices ma(run.in_shape(0), result, run.integer("transpose_a")), mb(run.in_shape(1), result, run.integer("transpose_b"));
  int64_t m = ma.rows, k = ma.columns, n = mb.columns, batches = result.count() / (m * n);
  double factor = run.number("factor");
  In a = run.in(0), b = run.in(1), g = run.result_gradient();
  Gradient da = run.gradient(0), db = run.gradient(1);
  double *sum_a = run.sums(), *sum_b = sum_a + run.in_shape(0).count();
  std::fill(sum_a, sum_b + run.in_shape(1).count(), 0.0);
  for (int64_t batch = 0; batch < batches; batch++) {
    int64_t at_a = ma.start(batch), at_b = mb.start(batch);
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < n; j++) {
        double v = factor * g[(batch * m + i) * n + j];
        for (int64_t l = 0; l < k; l++) {
          int64_t ia = at_a + ma.at(i, l), ib = at_b + mb.at(l, j);
          if (da.wanted()) sum_a[ia] += v * b[ib];
          if (db.wanted()) sum_b[ib] += v * a[ia];
        }
      }
  }
  for (int64_t i = 0; i < run.in_shape(0).count(); i++) da.put(i, sum_a[i]);
  for (int64_t i = 0; i < run.in_shape(1).count(); i++) db.put(i, sum_b[i]);
}

size_t matmul_sums(const Request& r) { return r.pass == Pass::Backward ? r.inputs[0].count() + r.inputs[1].count() : 0; }

}  // namespace

void add_linear_and_matmul() {
  OpDef linear;
  linear.name = "linear";
  linear.inputs = {{"x"}, {"weight", Role::Weight}, {"bias", Role::Vector, true}};
  linear.infer = linear_infer;
  linear.backward_reads = linear_reads;
  add_op(linear, {linear_forward, linear_backward, nullptr, true});

  OpDef matmul;
  matmul.name = "matmul";
  matmul.inputs = {{"a"}, {"b"}};
  matmul.attributes = {{"transpose_a"}, {"transpose_b"}, {"factor", 1}};
  matmul.infer = matmul_infer;
  matmul.backward_reads = matmul_reads;
  add_op(matmul, {matmul_forward, matmul_backward, matmul_sums});
}

}  // namespace graft::reference
