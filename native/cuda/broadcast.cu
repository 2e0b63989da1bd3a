// add and multiply with numpy's broadcasting. The gradient of an operand that was spread is a sum over the axes it was spread along: by
// columns where they are neighbours, else a block for each element of the gradient.
#include "reduce.cuh"

namespace graft::cuda {

// Where an operand's element lies for an element of the result.
struct Spread {
  int rank;
  bool same;
  Divisor size[kMaxRank];
  int64_t step[kMaxRank];  // of the result; of the operand, 0 where it is spread
  __device__ int64_t operator()(int64_t i) const {
    if (same) return i;
    int64_t at = 0;
    for (int d = rank - 1; d >= 0; d--) {
      at += i % size[d] * step[d];
      i /= size[d];
    }
    return at;
  }
};

template <class T>
struct BinaryForward {
  const T *a, *b;
  Spread at_a, at_b;
  Result<T> y;
  bool product;
  __device__ void operator()(int64_t i) const {
    const float x = float_of(a[at_a(i)]), z = float_of(b[at_b(i)]);
    y.put(i, product ? x * z : x + z);
  }
};

// The gradient of an operand of the result's shape; `other` is null for a sum.
template <class T>
struct WholeGradient {
  Incoming<T> g;
  const T* other;
  Spread at_other;
  Gradient<T> gradient;
  __device__ void operator()(int64_t i) const { gradient.put(i, other ? g(i) * float_of(other[at_other(i)]) : g(i)); }
};

// An element of the result at [a, b, c]; the operand lies along a and c.
template <class T>
struct SpreadTerm {
  Incoming<T> g;
  const T* other;
  Spread at_other;
  int64_t size_b, size_c;
  __device__ void operator()(int64_t a, int64_t b, int64_t c, float (&v)[1]) const {
    const int64_t i = (a * size_b + b) * size_c + c;
    v[0] = other ? g(i) * float_of(other[at_other(i)]) : g(i);
  }
};

template <class T>
struct PutSum {
  Gradient<T> gradient;
  __device__ void operator()(int64_t i, const double (&sums)[1]) const { gradient.put(i, static_cast<float>(sums[0])); }
};

// The axes of the result in two groups: those that the operand has, and those that it was spread along.
struct Axes {
  int kept, summed;
  Divisor kept_size[kMaxRank], summed_size[kMaxRank];
  int64_t kept_step[kMaxRank], summed_step[kMaxRank];  // in the result
  int64_t summed_count;
};

__device__ inline int64_t place(int64_t i, int count, const Divisor* size, const int64_t* step) {
  int64_t at = 0;
  for (int d = count - 1; d >= 0; d--) {
    at += i % size[d] * step[d];
    i /= size[d];
  }
  return at;
}

template <class T>
__global__ void __launch_bounds__(kThreads) scattered_sums(const __grid_constant__ Axes axes, Incoming<T> g, const T* other,
                                                           const __grid_constant__ Spread at_other, Gradient<T> gradient) {
  const int64_t start = place(blockIdx.x, axes.kept, axes.kept_size, axes.kept_step);
  float sum = 0;
  for (int64_t k = threadIdx.x; k < axes.summed_count; k += blockDim.x) {
    const int64_t i = start + place(k, axes.summed, axes.summed_size, axes.summed_step);
    sum += other ? g(i) * float_of(other[at_other(i)]) : g(i);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) gradient.put(blockIdx.x, sum);
}

namespace {

Spread spread(const Shape& operand, const Shape& result) {
  Spread s{};
  s.rank = result.rank;
  s.same = operand == result;
  int64_t step = 1;
  for (int d = result.rank - 1; d >= 0; d--) {
    s.size[d] = result[d];
    const int own = d - (result.rank - operand.rank);
    if (own < 0) continue;
    s.step[d] = operand[own] == 1 ? 0 : step;
    step *= operand[own];
  }
  return s;
}

// Whether the summed axes are neighbours: the result as [a, b, c], summed over b.
bool middle(const Spread& s, int64_t& a, int64_t& b, int64_t& c) {
  a = b = c = 1;
  int state = 0;
  for (int d = 0; d < s.rank; d++) {
    if (s.size[d] == 1) continue;
    if (s.step[d] == 0) {
      if (state == 2) return false;
      state = 1;
      b *= s.size[d];
    } else if (state == 0) {
      a *= s.size[d];
    } else {
      state = 2;
      c *= s.size[d];
    }
  }
  return true;
}

Axes axes_of(const Spread& s) {
  Axes axes{};
  axes.summed_count = 1;
  int64_t step[kMaxRank], whole = 1;
  for (int d = s.rank - 1; d >= 0; d--) {
    step[d] = whole;
    whole *= s.size[d];
  }
  for (int d = 0; d < s.rank; d++) {
    if (s.size[d] == 1) continue;
    if (s.step[d] == 0) {
      axes.summed_size[axes.summed] = s.size[d];
      axes.summed_step[axes.summed++] = step[d];
      axes.summed_count *= s.size[d];
    } else {
      axes.kept_size[axes.kept] = s.size[d];
      axes.kept_step[axes.kept++] = step[d];
    }
  }
  return axes;
}

// What one operand's gradient takes; `whole`: it has the result's shape, so it may lie on the result's gradient and is written last.
template <class T>
struct OperandGradient {
  size_t input;
  Spread own, other;
  bool product, whole, columns;
  int64_t elements, a, b, c;

  OperandGradient(const Request& r, size_t input)
      : input(input), own(spread(r.inputs[input].shape, r.outputs[0].shape)), other(spread(r.inputs[1 - input].shape, r.outputs[0].shape)),
        product(r.name() == "multiply"), elements(r.inputs[input].count()) {
    whole = elements == r.outputs[0].count();
    columns = middle(own, a, b, c);
  }
  size_t scratch() const { return !whole && columns ? SumShape(a, b, c).scratch(1) : 0; }
  void run(const Device& d, const Request& r, const Args& args) const {
    const Gradient<T> gradient = gradient_of<T>(r, args, input);
    if (!gradient.address) return;
    const Incoming<T> g = incoming<T>(r, args);
    const T* factor = product ? in<T>(args, 1 - input) : nullptr;
    if (whole) over_all(d, elements, WholeGradient<T>{g, factor, other, gradient});
    else if (columns)
      middle_sums<1>(d, SumShape(a, b, c), static_cast<float*>(args.scratch), SpreadTerm<T>{g, factor, other, b, c}, PutSum<T>{gradient});
    else launch(scattered_sums<T>, {elements, kThreads, 0, d.stream}, axes_of(own), g, factor, other, gradient);
  }
};

template <class T>
std::unique_ptr<Kernel> binary(const Device& d, const Request& r) {
  const bool product = r.name() == "multiply";
  if (r.pass == Pass::Forward) {
    const Spread a = spread(r.inputs[0].shape, r.outputs[0].shape), b = spread(r.inputs[1].shape, r.outputs[0].shape);
    const int64_t n = r.outputs[0].count();
    return own(d, r.name(), 0, [=, &d](const Args& args) {
      over_all(d, n, BinaryForward<T>{in<T>(args, 0), in<T>(args, 1), a, b, result<T>(r, args), product});
    });
  }
  const OperandGradient<T> left(r, 0), right(r, 1);
  return own(d, r.name(), std::max(left.scratch(), right.scratch()), [=, &d](const Args& args) {
    if (!left.whole) left.run(d, r, args);
    right.run(d, r, args);
    if (left.whole) left.run(d, r, args);
  });
}

}  // namespace

std::unique_ptr<Kernel> make_binary(const Device& d, const Request& r) {
  if (!same_storage(r) || (r.epilogue.any() && (r.pass != Pass::Forward || r.name() != "add"))) return nullptr;
  return r.outputs[0].dtype == DType::BF16 ? binary<Bf16>(d, r) : binary<float>(d, r);
}

}  // namespace graft::cuda
