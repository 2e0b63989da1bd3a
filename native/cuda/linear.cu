// linear, and conv2d where it is the same: y = x w^T + b, dx = g w, dw = g^T x, db = sums of g's columns.
#include "matmul/product.h"
#include "product.cuh"
#include "reduce.cuh"

namespace graft::cuda {
namespace {

enum { kX, kWeight, kBias };

template <class T>
std::unique_ptr<Kernel> linear(const Device& d, const Request& r) {
  const int64_t n = r.inputs[kWeight].shape[0], k = r.inputs[kWeight].shape[-1], rows = r.inputs[kX].count() / k;
  const DType type = r.outputs[0].dtype;
  InnerProducts inner;
  auto product_of = [&](int64_t m, int64_t columns, int64_t depth, ProductRequest::Matrix a, ProductRequest::Matrix b, DType result, bool accumulate) {
    ProductRequest p;
    p.m = m, p.n = columns, p.k = depth;
    p.a = a, p.b = b, p.c = {columns, 1, 0};
    p.type = type, p.result = result;
    p.accumulate = accumulate;
    return p;
  };
  if (r.pass == Pass::Forward) {
    ProductRequest p = product_of(rows, n, k, {k, 1, 0}, {1, k, 0}, type, false);
    p.bias = r.call().has(kBias);
    p.epilogue = r.epilogue;
    auto y = inner.add(d, p);
    if (!y) return nullptr;
    return inner.kernel(d, [=](const Args& a) {
      ProductOperands o;
      o.a = a.in[kX], o.b = a.in[kWeight], o.bias = p.bias ? a.in[kBias] : nullptr, o.residual = a.residual, o.c = a.out[0], o.scratch = a.scratch;
      run_product(*y, o);
    });
  }
  std::shared_ptr<Kernel> dx, dw;
  if (wants(r, kX)) dx = inner.add(d, product_of(rows, k, n, {n, 1, 0}, {k, 1, 0}, type, mode_of(r, kX) == GradMode::Accumulate));
  if (wants(r, kWeight)) dw = inner.add(d, product_of(n, k, rows, {1, n, 0}, {k, 1, 0}, DType::F32, mode_of(r, kWeight) == GradMode::Accumulate));
  if ((wants(r, kX) && !dx) || (wants(r, kWeight) && !dw)) return nullptr;
  if (wants(r, kBias)) inner.add("own:simt:column_sums:cuda");
  const SumShape s(1, rows, n);
  const size_t sums = wants(r, kBias) ? s.scratch(1) : 0;
  return inner.kernel(d, [=, &d](const Args& a) {
    const Gradient<float> db = gradient_of<float>(r, a, kBias);
    void* scratch = static_cast<char*>(a.scratch) + sums;
    if (db.address) middle_sums<1>(d, s, static_cast<float*>(a.scratch), ColumnTerm<T>{static_cast<const T*>(a.dout), n}, PutColumnSum{db});
    if (dw) run_product(*dw, a.dout, a.in[kX], a.din[kWeight], scratch);
    if (dx) run_product(*dx, a.dout, a.in[kWeight], a.din[kX], scratch);
  }, sums);
}

}  // namespace

std::unique_ptr<Kernel> make_linear(const Device& d, const Request& r) {
  const DType type = r.inputs[kX].dtype;
  if (!storable(type) || r.inputs[kWeight].dtype != type || r.outputs[0].dtype != type) return nullptr;
  if (r.pass == Pass::Backward && (r.second_gradient || r.epilogue.any())) return nullptr;
  return type == DType::BF16 ? linear<Bf16>(d, r) : linear<float>(d, r);
}

}  // namespace graft::cuda
