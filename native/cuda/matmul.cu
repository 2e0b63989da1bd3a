// matmul, any product in exact F32, and merging a low-rank update into its weight.
#include "matmul/product.h"
#include "product.cuh"

namespace graft::cuda {
namespace {

// One operand of matmul, seen as the product sees it, and its leading axes beside those of the result.
struct Factor {
  int64_t rows, columns, row, column;
  int64_t size[kMaxRank] = {}, step[kMaxRank] = {};  // of the result's leading axes: size of the result, step in the operand, 0 where shared
  int rank;

  Factor(const Shape& shape, const Shape& result, bool transposed) : rank(result.rank - 2) {
    rows = shape[-2], columns = shape[-1];
    int64_t matrix = rows * columns;
    row = transposed ? 1 : columns;
    column = transposed ? columns : 1;
    if (transposed) std::swap(rows, columns);
    for (int d = rank - 1; d >= 0; d--) {
      const int own = d - (result.rank - shape.rank);
      const int64_t axis = own >= 0 ? shape[own] : 1;
      size[d] = result[d];
      step[d] = axis == 1 ? 0 : matrix;
      matrix *= axis;
    }
  }
  // Leading axes along which `other` has matrices of its own (of = true) or is shared, with this operand's steps.
  Starts starts(const Factor& other, bool of) const {
    Starts s;
    for (int d = 0; d < rank; d++)
      if (size[d] > 1 && (other.step[d] != 0) == of) s.add(size[d], step[d]);
    return s;
  }
  Starts all() const {
    Starts s;
    for (int d = 0; d < rank; d++) s.add(size[d], step[d]);
    return s;
  }
};

int64_t count(const Starts& s) {
  int64_t n = 1;
  for (int d = 0; d < s.rank; d++) n *= s.size[d];
  return n;
}

// The step that leads through all matrices of `s` in their order; false where there is none.
bool even(const Starts& s, int64_t& step) {
  step = s.rank > 0 ? s.step[s.rank - 1] : 0;
  int64_t next = step;
  for (int d = s.rank - 1; d >= 0; d--) {
    if (s.step[d] != next) return false;
    next *= s.size[d];
  }
  return true;
}

// One of the three products of a matmul: factors and result as strides, matrices that each result has, matrices that are added up.
struct Strided {
  int64_t row, column;
  Starts batches, parts;
};

// The same as one request; m = 0 where the matrices do not lie evenly.
ProductRequest even_request(DType type, float times, bool accumulate, int64_t m, int64_t n, int64_t k, const Strided& a, const Strided& b, const Strided& c) {
  ProductRequest r;
  r.type = r.result = type;
  r.batch = count(c.batches), r.n = n, r.times = times, r.accumulate = accumulate;
  r.a.row = a.row, r.a.column = a.column, r.b.row = b.row, r.b.column = b.column, r.c.row = c.row, r.c.column = c.column;
  if (!even(a.batches, r.a.step) || !even(b.batches, r.b.step) || !even(c.batches, r.c.step)) return r;
  const int64_t parts = count(a.parts);
  int64_t part_a = 0, part_b = 0;
  // Matrices that are added up are one longer product where each begins behind the one before.
  if (parts > 1 && !(even(a.parts, part_a) && even(b.parts, part_b) && part_a == k * a.column && part_b == k * b.row)) return r;
  r.m = m, r.k = parts * k;
  return r;
}

template <class T>
std::unique_ptr<Kernel> matmul(const Device& d, const Request& r) {
  const Shape& y = r.outputs[0].shape;
  const Factor a(r.inputs[0].shape, y, r.call().integer("transpose_a") != 0), b(r.inputs[1].shape, y, r.call().integer("transpose_b") != 0);
  const Factor c(y, y, false);
  const int64_t m = a.rows, k = a.columns, n = b.columns;
  const float factor = static_cast<float>(r.call().number("factor"));
  const DType type = r.outputs[0].dtype;
  // A product of its own where the matrices lie evenly, else one whose matrices are looked up.
  using Run = std::function<void(const void* left, const void* right, void* result, void* scratch)>;
  InnerProducts inner;
  auto prepared = [&](int64_t mm, int64_t nn, int64_t kk, const Strided& x, const Strided& z, const Strided& to, bool accumulate) -> Run {
    const ProductRequest request = even_request(type, factor, accumulate, mm, nn, kk, x, z, to);
    if (request.m > 0)
      if (auto kernel = inner.add(d, request))
        return [kernel](const void* left, const void* right, void* result, void* scratch) { run_product(*kernel, left, right, result, scratch); };
    inner.add("own:simt:matmul:cuda");
    const int64_t all = count(to.batches), parts = count(x.parts);
    return [=, &d](const void* left, const void* right, void* result, void*) {
      const Matrix<T> a{static_cast<const T*>(left), x.row, x.column, x.column == 1, x.batches, x.parts};
      const Matrix<T> b{static_cast<const T*>(right), z.row, z.column, z.row == 1 && z.column != 1, z.batches, z.parts};
      Store<T> c{static_cast<T*>(result), to.row, to.column, factor, accumulate};
      c.batches = to.batches;
      product(d, all, mm, nn, kk, parts, a, b, c);
    };
  };
  if (r.pass == Pass::Forward) {
    const Run y = prepared(m, n, k, {a.row, a.column, a.all(), {}}, {b.row, b.column, b.all(), {}}, {n, 1, c.all(), {}}, false);
    return inner.kernel(d, [=](const Args& args) { y(args.in[0], args.in[1], args.out[0], args.scratch); });
  }
  // The gradient of one operand: for each of its matrices the sum over the result's matrices that used it.
  Run da, db;
  if (wants(r, 0))  // a[m, k] = factor g[m, n] b[k, n]^T
    da = prepared(m, k, n, {n, 1, c.starts(a, true), c.starts(a, false)}, {b.column, b.row, b.starts(a, true), b.starts(a, false)},
                  {a.row, a.column, a.starts(a, true), {}}, mode_of(r, 0) == GradMode::Accumulate);
  if (wants(r, 1))  // b[k, n] = factor a[m, k]^T g[m, n]
    db = prepared(k, n, m, {a.column, a.row, a.starts(b, true), a.starts(b, false)}, {n, 1, c.starts(b, true), c.starts(b, false)},
                  {b.row, b.column, b.starts(b, true), {}}, mode_of(r, 1) == GradMode::Accumulate);
  return inner.kernel(d, [=](const Args& args) {
    if (da) da(args.dout, args.in[1], args.din[0], args.scratch);
    if (db) db(args.in[0], args.dout, args.din[1], args.scratch);
  });
}

template <class T, class R>
std::unique_ptr<Kernel> plain_product(const Device& d, const ProductRequest& r) {
  return own(d, "simt:product", 0, [=, &d](const Args& args) {
    Matrix<T> a = left<T>(args.in[0], r.a.row, r.a.column), b = right<T>(args.in[1], r.b.row, r.b.column);
    a.batches.add(r.batch, r.a.step), b.batches.add(r.batch, r.b.step);
    Store<R> c{static_cast<R*>(args.out[0]), r.c.row, r.c.column, r.times, r.accumulate};
    c.batches.add(r.batch, r.c.step);
    c.scale = r.scaled ? in<float>(args, 3) : nullptr;
    c.bias = r.bias ? in<float>(args, 2) : nullptr;
    c.residual = static_cast<const R*>(r.epilogue.residual ? args.residual : nullptr);
    c.activation = r.epilogue.activation;
    c.slope = r.epilogue.slope;
    product(d, r.batch, r.m, r.n, r.k, 1, a, b, c);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_matmul(const Device& d, const Request& r) {
  if (!same_storage(r) || r.epilogue.any() || r.second_gradient) return nullptr;
  return r.outputs[0].dtype == DType::BF16 ? matmul<Bf16>(d, r) : matmul<float>(d, r);
}

std::unique_ptr<Kernel> make_simt_product(const Device& d, const ProductRequest& r) {
  if (!storable(r.type) || !storable(r.result) || r.k2 > 0 || r.saves) return nullptr;
  if (r.type == DType::BF16) return r.result == DType::BF16 ? plain_product<Bf16, Bf16>(d, r) : plain_product<Bf16, float>(d, r);
  return r.result == DType::BF16 ? plain_product<float, Bf16>(d, r) : plain_product<float, float>(d, r);
}

}  // namespace graft::cuda
