// reshape, transpose, concat, slice, pad.
#include "operands.cuh"

namespace graft::cuda {

// Element (o, i, k) of a part of one tensor [outer, to_size, inner], beginning at to_begin along the middle axis, is element
// (o, (i * times + offset) / every, k) of another [outer, from_size, inner], or 0 where that is no element of it.
struct Relocation {
  int64_t outer;
  Divisor count, inner;
  int64_t to_size, to_begin, from_size;
  int64_t times = 1, offset = 0;
  Divisor every = 1;
};

template <class T>
struct Relocate {
  Relocation r;
  const T *x, *x2;
  Gradient<T> y;
  __device__ void operator()(int64_t at) const {
    const int64_t k = at % r.inner, i = at / r.inner % r.count, o = at / r.inner / r.count;
    const int64_t from = i * r.times + r.offset;
    float v = 0;
    if (from >= 0 && from % r.every == 0 && from / r.every < r.from_size) {
      const int64_t j = (o * r.from_size + from / r.every) * r.inner + k;
      v = x2 ? float_of(x[j]) + float_of(x2[j]) : float_of(x[j]);
    }
    y.put((o * r.to_size + r.to_begin + i) * r.inner + k, v);
  }
};

// Forward gathers by the strides of x in the result's order; backward scatters by them, to different places each.
template <class T>
struct Transpose {
  int rank;
  Divisor size[kMaxRank];
  int64_t step[kMaxRank];
  const T *x, *x2;
  Gradient<T> y;
  bool backward;
  __device__ void operator()(int64_t i) const {
    int64_t at = 0, rest = i;
    for (int d = rank - 1; d >= 0; d--) {
      at += rest % size[d] * step[d];
      rest /= size[d];
    }
    const int64_t from = backward ? i : at;
    y.put(backward ? at : i, x2 ? float_of(x[from]) + float_of(x2[from]) : float_of(x[from]));
  }
};

namespace {

int64_t axis_of(const Request& r) {
  const int64_t axis = r.call().integer("axis");
  return axis < 0 ? axis + r.inputs[0].shape.rank : axis;
}

int64_t product(const Shape& s, int64_t begin, int64_t end) {
  int64_t n = 1;
  for (int64_t d = begin; d < end; d++) n *= s[static_cast<int>(d)];
  return n;
}

// Between x and the result, in the direction of the pass.
Relocation relocation(const Request& r, size_t input, int64_t begin) {
  if (r.name() == "reshape") return {1, r.outputs[0].count(), 1, r.outputs[0].count(), 0, r.outputs[0].count()};
  const int64_t axis = axis_of(r);
  const Shape &x = r.inputs[input].shape, &y = r.outputs[0].shape;
  const int64_t size_x = x[static_cast<int>(axis)], size_y = y[static_cast<int>(axis)];
  const bool backward = r.pass == Pass::Backward;
  Relocation m{product(x, 0, axis), backward ? size_x : size_y, product(x, axis + 1, x.rank), backward ? size_x : size_y, 0, backward ? size_y : size_x};
  if (r.name() == "concat") {
    m.count = size_x;
    if (backward) m.offset = begin;
    else m.to_begin = begin;
  } else if (r.name() == "pad") {
    const int64_t before = r.call().integer("before");
    m.offset = backward ? before : -before;
  } else {
    int64_t first = r.call().integer("begin");
    if (first < 0) first += size_x;
    const int64_t step = r.call().integer("step");
    if (backward) m.every = step, m.offset = -first;  // from_size ends what lies behind the last one taken
    else m.times = step, m.offset = first;
  }
  return m;
}

template <class T>
std::unique_ptr<Kernel> relocate(const Device& d, const Request& r) {
  std::vector<Relocation> parts;
  int64_t begin = 0;
  for (size_t i = 0; i < r.inputs.size(); i++) {
    parts.push_back(relocation(r, i, begin));
    if (r.name() == "concat") begin += r.inputs[i].shape[static_cast<int>(axis_of(r))];
  }
  const bool backward = r.pass == Pass::Backward;
  return own(d, r.name(), 0, [=, &d](const Args& a) {
    for (size_t i = 0; i < parts.size(); i++) {
      const T* x = static_cast<const T*>(backward ? a.dout : a.in[i]);
      const Gradient<T> y = backward ? gradient_of<T>(r, a, i) : Gradient<T>{static_cast<T*>(a.out[0])};
      if (!y.address || y.address == x) continue;  // a reshape of a view
      const Relocation& m = parts[i];
      over_all(d, m.outer * m.count * m.inner, Relocate<T>{m, x, static_cast<const T*>(r.second_gradient ? a.dout2 : nullptr), y});
    }
  });
}

template <class T>
std::unique_ptr<Kernel> transpose(const Device& d, const Request& r) {
  Transpose<T> t{};
  const Shape& x = r.inputs[0].shape;
  t.rank = x.rank;
  t.backward = r.pass == Pass::Backward;
  for (int k = 0; k < x.rank; k++) {
    int64_t axis = r.call().integer(text("axis", k).c_str());
    if (axis < 0) axis += x.rank;
    t.size[k] = r.outputs[0].shape[k];
    t.step[k] = product(x, axis + 1, x.rank);
  }
  const int64_t n = x.count();
  return own(d, "transpose", 0, [=, &d](const Args& a) {
    Transpose<T> f = t;
    f.x = static_cast<const T*>(t.backward ? a.dout : a.in[0]);
    f.x2 = static_cast<const T*>(r.second_gradient ? a.dout2 : nullptr);
    f.y = t.backward ? gradient_of<T>(r, a, 0) : Gradient<T>{static_cast<T*>(a.out[0])};
    if (f.y.address) over_all(d, n, f);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_movement(const Device& d, const Request& r) {
  if (!same_storage(r) || r.epilogue.any()) return nullptr;
  const bool narrow = r.outputs[0].dtype == DType::BF16;
  if (r.name() == "transpose") return narrow ? transpose<Bf16>(d, r) : transpose<float>(d, r);
  return narrow ? relocate<Bf16>(d, r) : relocate<float>(d, r);
}

}  // namespace graft::cuda
