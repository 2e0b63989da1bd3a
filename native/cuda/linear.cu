// linear: y = x w^T + b, dx = g w, dw = g^T x, db = sums of g's columns.
#include "product.cuh"
#include "reduce.cuh"

namespace graft::cuda {
namespace {

enum { kX, kWeight, kBias };

template <class T>
std::unique_ptr<Kernel> linear(const Device& d, const Request& r) {
  const int64_t n = r.inputs[kWeight].shape[0], k = r.inputs[kWeight].shape[1], rows = r.inputs[kX].count() / k;
  if (r.pass == Pass::Forward) {
    const bool biased = r.call().has(kBias);
    return own(d, "simt:linear", 0, [=, &d](const Args& a) {
      Store<T> y{static_cast<T*>(a.out[0]), n, 1};
      y.bias = biased ? in<float>(a, kBias) : nullptr;
      y.residual = static_cast<const T*>(r.epilogue.residual ? a.residual : nullptr);
      y.activation = r.epilogue.activation;
      y.slope = r.epilogue.slope;
      product(d, 1, rows, n, k, 1, left<T>(a.in[kX], k, 1), right<T>(a.in[kWeight], 1, k), y);
    });
  }
  const SumShape s(1, rows, n);
  return own(d, "simt:linear", wants(r, kBias) ? s.scratch(1) : 0, [=, &d](const Args& a) {
    const T* g = static_cast<const T*>(a.dout);
    const Gradient<T> dx = gradient_of<T>(r, a, kX);
    const Gradient<float> dw = gradient_of<float>(r, a, kWeight), db = gradient_of<float>(r, a, kBias);
    if (db.address) middle_sums<1>(d, s, static_cast<float*>(a.scratch), ColumnTerm<T>{g, n}, PutColumnSum{db});
    if (dw.address) product(d, 1, n, k, rows, 1, left<T>(g, 1, n), right<T>(a.in[kX], k, 1), store(dw, k));
    if (dx.address) product(d, 1, rows, k, n, 1, left<T>(g, n, 1), right<T>(a.in[kWeight], k, 1), store(dx, k));
  });
}

}  // namespace

std::unique_ptr<Kernel> make_linear(const Device& d, const Request& r) {
  const DType type = r.inputs[kX].dtype;
  if (!storable(type) || r.inputs[kWeight].dtype != type || r.outputs[0].dtype != type) return nullptr;
  if (r.pass == Pass::Backward && (r.second_gradient || r.epilogue.any())) return nullptr;
  return type == DType::BF16 ? linear<Bf16>(d, r) : linear<float>(d, r);
}

}  // namespace graft::cuda
