// matmul, products that belong to no graph, and merging a low-rank update into its weight.
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

template <class T>
std::unique_ptr<Kernel> matmul(const Device& d, const Request& r) {
  const Shape& y = r.outputs[0].shape;
  const Factor a(r.inputs[0].shape, y, r.call().integer("transpose_a") != 0), b(r.inputs[1].shape, y, r.call().integer("transpose_b") != 0);
  const Factor c(y, y, false);
  const int64_t m = a.rows, k = a.columns, n = b.columns, batches = y.count() / (m * n);
  const float factor = static_cast<float>(r.call().number("factor"));
  if (r.pass == Pass::Forward)
    return own(d, "simt:matmul", 0, [=, &d](const Args& args) {
      Matrix<T> x = left<T>(args.in[0], a.row, a.column), z = right<T>(args.in[1], b.row, b.column);
      x.batches = a.all(), z.batches = b.all();
      Store<T> to{static_cast<T*>(args.out[0]), n, 1, factor};
      to.batches = c.all();
      product(d, batches, m, n, k, 1, x, z, to);
    });
  // The gradient of one operand: for each of its matrices the sum over the result's matrices that used it.
  return own(d, "simt:matmul", 0, [=, &d](const Args& args) {
    const Gradient<T> da = gradient_of<T>(r, args, 0), db = gradient_of<T>(r, args, 1);
    if (da.address) {  // a[m, k] = factor g[m, n] b[k, n]^T
      Matrix<T> g = left<T>(args.dout, n, 1), z = right<T>(args.in[1], b.column, b.row);
      g.batches = c.starts(a, true), g.parts = c.starts(a, false), z.batches = b.starts(a, true), z.parts = b.starts(a, false);
      Store<T> to{da.address, a.row, a.column, factor, da.accumulate};
      to.batches = a.starts(a, true);
      product(d, count(to.batches), m, k, n, count(g.parts), g, z, to);
    }
    if (db.address) {  // b[k, n] = factor a[m, k]^T g[m, n]
      Matrix<T> x = left<T>(args.in[0], a.column, a.row), g = right<T>(args.dout, n, 1);
      x.batches = a.starts(b, true), x.parts = a.starts(b, false), g.batches = c.starts(b, true), g.parts = c.starts(b, false);
      Store<T> to{db.address, b.row, b.column, factor, db.accumulate};
      to.batches = b.starts(b, true);
      product(d, count(to.batches), k, n, m, count(g.parts), x, g, to);
    }
  });
}

template <class T, class R>
std::unique_ptr<Kernel> plain_product(const Device& d, const ProductRequest& r) {
  return own(d, "simt:product", 0, [=, &d](const Args& args) {
    Matrix<T> a = left<T>(args.in[0], r.a.row, r.a.column), b = right<T>(args.in[1], r.b.row, r.b.column);
    a.batches.add(r.batch, r.a.step), b.batches.add(r.batch, r.b.step);
    Store<R> c{static_cast<R*>(args.out[0]), r.c.row, r.c.column, 1, r.accumulate};
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

std::unique_ptr<Kernel> make_product(const Device& d, const ProductRequest& r) {
  if (!storable(r.type) || !storable(r.result)) return nullptr;
  if (r.type == DType::BF16) return r.result == DType::BF16 ? plain_product<Bf16, Bf16>(d, r) : plain_product<Bf16, float>(d, r);
  return r.result == DType::BF16 ? plain_product<float, Bf16>(d, r) : plain_product<float, float>(d, r);
}

// W += factor * B A on each slice of the weight's rows.
std::unique_ptr<Kernel> make_merge(const Device& d, const ServiceRequest& r) {
  if (r.outputs[0].dtype != DType::F32 || r.inputs[0].dtype != DType::F32 || r.inputs[1].dtype != DType::F32) return nullptr;
  const int64_t columns = r.outputs[0].shape[1], rank = r.inputs[1].shape[1], slices = static_cast<int64_t>(r.attributes.at("slices"));
  const int64_t width = r.inputs[1].shape[0] / slices;
  const float factor = static_cast<float>(r.attributes.at("factor"));
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < slices; i++) starts.push_back(static_cast<int64_t>(r.attributes.at(text("start", i))));
  return own(d, "simt:merge_low_rank", 0, [=, &d](const Args& args) {
    for (int64_t i = 0; i < slices; i++) {
      const Matrix<float> b = left<float>(in<float>(args, 1) + i * width * rank, rank, 1), a = right<float>(in<float>(args, 0) + i * rank * columns, columns, 1);
      product(d, 1, width, columns, rank, 1, b, a, Store<float>{static_cast<float*>(args.out[0]) + starts[static_cast<size_t>(i)] * columns, columns, 1, factor, true});
    }
  });
}

}  // namespace graft::cuda
