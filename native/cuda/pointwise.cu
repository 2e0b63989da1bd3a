// Activations and scale: four elements a thread, every operand read or written once.
#include "operands.cuh"

namespace graft::cuda {

template <class T>
struct UnaryForward {
  const T* x;
  T* y;
  Activation activation;
  float slope;
  __device__ void operator()(int64_t i, int count, bool whole) const {
    Four v = load4(x, i, count, whole);
#pragma unroll
    for (float& e : v.v) e = activate(activation, slope, e);
    store4(y, i, count, whole, v);
  }
};

// `read`: the result, or x where the slope is taken from x.
template <class T>
struct UnaryBackward {
  const T *dout, *dout2, *read;
  Gradient<T> dx;
  Activation activation;
  float slope;
  bool from_x;
  __device__ void operator()(int64_t i, int count, bool whole) const {
    Four g = load4(dout, i, count, whole), v = load4(read, i, count, whole);
    if (dout2) {
      const Four second = load4(dout2, i, count, whole);
      for (int k = 0; k < 4; k++) g.v[k] += second.v[k];
    }
#pragma unroll
    for (int k = 0; k < 4; k++) g.v[k] *= from_x ? slope_from_x(activation, v.v[k]) : slope_from_result(activation, slope, v.v[k]);
    if (dx.accumulate) {
      const Four before = load4(static_cast<const T*>(dx.address), i, count, whole);
      for (int k = 0; k < 4; k++) g.v[k] += before.v[k];
    }
    store4(dx.address, i, count, whole, g);
  }
};

// y = factor * (x + x2) + offset (+ y)
template <class T>
struct Scale {
  const T *x, *x2;
  Gradient<T> y;
  float factor, offset;
  __device__ void operator()(int64_t i, int count, bool whole) const {
    Four v = load4(x, i, count, whole);
    if (x2) {
      const Four second = load4(x2, i, count, whole);
      for (int k = 0; k < 4; k++) v.v[k] += second.v[k];
    }
    for (float& e : v.v) e = factor * e + offset;
    if (y.accumulate) {
      const Four before = load4(static_cast<const T*>(y.address), i, count, whole);
      for (int k = 0; k < 4; k++) v.v[k] += before.v[k];
    }
    store4(y.address, i, count, whole, v);
  }
};

namespace {

Activation activation_of(const Request& r) {
  if (r.op->activation != Activation::None) return r.op->activation;
  if (r.name() == "silu") return Activation::Silu;
  return r.call().integer("tanh") ? Activation::GeluTanh : Activation::GeluExact;
}

template <class T>
std::unique_ptr<Kernel> scale(const Device& d, const Request& r) {
  const int64_t n = r.outputs[0].count();
  const float factor = static_cast<float>(r.call().number("factor")), offset = static_cast<float>(r.call().number("offset"));
  if (r.pass == Pass::Forward)
    return own(d, "scale", 0, [=, &d](const Args& a) {
      const Scale<T> f{in<T>(a, 0), nullptr, {static_cast<T*>(a.out[0])}, factor, offset};
      over_fours(d, n, aligned_for_four(f.x, f.y.address), f);
    });
  return own(d, "scale", 0, [=, &d](const Args& a) {
    const Scale<T> f{static_cast<const T*>(a.dout), static_cast<const T*>(r.second_gradient ? a.dout2 : nullptr), gradient_of<T>(r, a, 0), factor, 0};
    if (f.y.address) over_fours(d, n, aligned_for_four(f.x, f.x2, f.y.address), f);
  });
}

template <class T>
std::unique_ptr<Kernel> unary(const Device& d, const Request& r) {
  if (r.name() == "scale") return scale<T>(d, r);
  const int64_t n = r.outputs[0].count();
  const Activation activation = activation_of(r);
  const float slope = activation == Activation::LeakyRelu ? static_cast<float>(r.call().number("slope")) : 0;
  if (r.pass == Pass::Forward)
    return own(d, r.name(), 0, [=, &d](const Args& a) {
      const UnaryForward<T> f{in<T>(a, 0), static_cast<T*>(a.out[0]), activation, slope};
      over_fours(d, n, aligned_for_four(f.x, f.y), f);
    });
  const bool from_x = r.op->activation == Activation::None;
  return own(d, r.name(), 0, [=, &d](const Args& a) {
    const UnaryBackward<T> f{static_cast<const T*>(a.dout), static_cast<const T*>(r.second_gradient ? a.dout2 : nullptr),
                             from_x ? in<T>(a, 0) : static_cast<const T*>(a.out[0]), gradient_of<T>(r, a, 0), activation, slope, from_x};
    if (f.dx.address) over_fours(d, n, aligned_for_four(f.dout, f.dout2, f.read, f.dx.address), f);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_unary(const Device& d, const Request& r) {
  if (!same_storage(r) || r.epilogue.any()) return nullptr;
  return r.outputs[0].dtype == DType::BF16 ? unary<Bf16>(d, r) : unary<float>(d, r);
}

}  // namespace graft::cuda
