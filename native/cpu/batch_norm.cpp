// batch_norm: what is small (one number a channel) is computed here, what is large in simd/batch_norm.cpp.
#include <cmath>

#include "kernels.h"

namespace graft::cpu {
namespace {

enum { X, Weight, Bias, RunningMean, RunningVar };

struct Norm {
  Store type;
  int64_t channels, rows, rows_per_sample;  // rows: N * H * W
  bool batch;
  float eps;
  double momentum;
  Tail tail;

  explicit Norm(const Request& r) {
    const Shape& x = r.inputs[X].shape;
    type = store_of(r.inputs[X].dtype);
    channels = x[-1];
    rows = x.count() / channels;
    rows_per_sample = rows / r.batch;
    batch = r.batch_statistics;
    eps = static_cast<float>(r.call().number("eps"));
    momentum = r.call().number("momentum");
    tail = tail_of(r.epilogue);
  }
  int64_t live(const Args& a) const { return batch ? a.step->header->valid_rows * rows_per_sample : rows; }
};

const float* floats(void* p) { return static_cast<const float*>(p); }

// scratch: variance, factor, partial sums.
void forward(const Norm& n, const Args& a) {
  Cut scratch(a.scratch);
  float* variance = scratch.take<float>(n.channels);
  float* factor = scratch.take<float>(n.channels);
  const float *weight = floats(a.in[Weight]), *bias = floats(a.in[Bias]);
  const float* mean = floats(a.in[RunningMean]);
  if (n.batch) {
    float *saved_mean = static_cast<float*>(a.out[1]), *rstd = static_cast<float*>(a.out[2]);
    float *running_mean = static_cast<float*>(a.in[RunningMean]), *running_var = static_cast<float*>(a.in[RunningVar]);
    int64_t live = n.live(a);
    if (live > 0) simd().norm_statistics(n.type, a.in[X], live, n.channels, saved_mean, variance, scratch.rest());
    double unbiased = live > 1 ? static_cast<double>(live) / (live - 1) : 1;
    for (int64_t c = 0; c < n.channels; c++) {
      if (live == 0) saved_mean[c] = variance[c] = 0;
      rstd[c] = 1 / std::sqrt(variance[c] + n.eps);
      factor[c] = weight[c] * rstd[c];
      running_mean[c] = static_cast<float>((1 - n.momentum) * running_mean[c] + n.momentum * saved_mean[c]);
      running_var[c] = static_cast<float>((1 - n.momentum) * running_var[c] + n.momentum * unbiased * variance[c]);
    }
    mean = saved_mean;
  } else {
    const float* var = floats(a.in[RunningVar]);
    for (int64_t c = 0; c < n.channels; c++) factor[c] = weight[c] / std::sqrt(var[c] + n.eps);
  }
  simd().norm_apply(n.type, a.in[X], a.residual, a.out[0], n.rows, n.channels, mean, factor, bias, n.tail);
}

struct Backward {
  Norm norm;
  GradMode dx, dweight, dbias;
  bool second, residual, again, signs;  // again: the slope is worked out from x; signs: it is read from them

  // The gradient before the epilogue has to be formed, or is the result's own.
  bool formed() const { return second || norm.tail.function != Function::None; }

  void run(const Args& a) const {
    const Norm& n = norm;
    Cut scratch(a.scratch);
    float *p = scratch.take<float>(n.channels), *q = scratch.take<float>(n.channels), *r = scratch.take<float>(n.channels);
    double* sums = scratch.take<double>(2 * n.channels);
    const float *weight = floats(a.in[Weight]), *mean = floats(n.batch ? a.out[1] : a.in[RunningMean]);
    const bool wants_x = dx != GradMode::Ignore, wants_weight = dweight != GradMode::Ignore;
    // r holds rstd until the second pass needs it.
    if (wants_x || wants_weight || again)
      for (int64_t c = 0; c < n.channels; c++) r[c] = n.batch ? floats(a.out[2])[c] : 1 / std::sqrt(floats(a.in[RunningVar])[c] + n.eps);
    if (wants_x || again)  // as the forward's factor, bit by bit
      for (int64_t c = 0; c < n.channels; c++) p[c] = weight[c] * r[c];

    NormCall call{};
    call.type = n.type;
    call.rows = n.live(a);
    call.channels = n.channels;
    call.tail = n.tail;
    call.dout = a.dout;
    call.dout2 = second ? a.dout2 : nullptr;
    if (signs) call.signs = static_cast<const uint8_t*>(a.activated);
    else call.activated = a.activated;
    call.x = wants_weight || (n.batch && wants_x) || again ? a.in[X] : nullptr;
    if (again) {
      call.slope_scale = p;
      call.slope_shift = floats(a.in[Bias]);
    }
    call.mean = call.x ? mean : p;  // where the sum with x is not wanted the mean was not given: any row of numbers serves
    if (residual) call.g = a.dresidual;
    else if (formed() && n.batch && wants_x) call.g = a.din[X];
    if (!n.batch && wants_x) {
      call.scale = p;
      call.dx = a.din[X];
    }
    simd().norm_reduce(call, sums, scratch.rest());
    write(static_cast<float*>(a.din[Bias]), dbias, n.channels, [&](int64_t c) { return sums[c]; });
    write(static_cast<float*>(a.din[Weight]), dweight, n.channels, [&](int64_t c) { return sums[n.channels + c] * r[c]; });
    if (!n.batch) return;
    double count = static_cast<double>(std::max<int64_t>(1, call.rows));
    for (int64_t c = 0; c < n.channels; c++) {
      q[c] = static_cast<float>(-p[c] * static_cast<double>(r[c]) * r[c] * sums[n.channels + c] / count);
      r[c] = static_cast<float>(-p[c] * sums[c] / count);
    }
    if (residual && call.rows < n.rows) finish_residual(a, call, sums, scratch.rest());
    if (wants_x) simd().norm_combine(n.type, call.g ? call.g : a.dout, a.in[X], a.din[X], n.rows, call.rows, n.channels, mean, p, q, r);
  }

  template <class F>
  static void write(float* gradient, GradMode mode, int64_t n, const F& f) {
    if (mode == GradMode::Ignore) return;
    for (int64_t c = 0; c < n; c++) gradient[c] = static_cast<float>(mode == GradMode::Accumulate ? gradient[c] + f(c) : f(c));
  }

  // Rows of padding take no part in the sums, but the residual's gradient is defined there too. What the sums were used for is done.
  void finish_residual(const Args& a, NormCall call, double* sums, void* scratch) const {
    const int64_t live = call.rows;
    size_t skip = static_cast<size_t>(live * norm.channels) * (norm.type == Store::BF16 ? 2 : 4);
    auto at = [&](void* p) { return p ? static_cast<char*>(p) + skip : nullptr; };
    if (signs) {
      call.rows = norm.rows - live;
      call.first = live * norm.channels;
      call.dout = at(a.dout);
      call.dout2 = second ? at(a.dout2) : nullptr;
      call.g = at(a.dresidual);
      call.x = nullptr;
      return simd().norm_reduce(call, sums, scratch);
    }
    void* y = norm.tail.function == Function::None ? a.dout : a.activated;
    simd().backward(norm.tail.function, norm.tail.slope, norm.type, at(a.dout), second ? at(a.dout2) : nullptr, at(y), at(a.dresidual),
                    (norm.rows - live) * norm.channels, false);
  }
};

}  // namespace

std::unique_ptr<Kernel> make_batch_norm(const Request& r) {
  if (!storable(r.inputs[X].dtype) || r.outputs[0].dtype != r.inputs[X].dtype) return nullptr;
  Norm n(r);
  size_t small = aligned(4 * n.channels), sums = aligned(16 * n.channels) + reduction_scratch(n.rows, n.channels, 2);
  if (r.pass == Pass::Forward) return own("batch_norm", 2 * small + sums, [n](const Args& a) { forward(n, a); });
  if (mode_of(r, X) == GradMode::Accumulate) return nullptr;
  Backward b{n, mode_of(r, X), mode_of(r, Weight), mode_of(r, Bias), r.second_gradient, r.residual_gradient, r.recomputes, r.signs};
  return own(r.signs ? "batch_norm_gradient_by_signs" : r.recomputes ? "batch_norm_gradient_recomputing" : "batch_norm_gradient", 3 * small + sums, [b](const Args& a) { b.run(a); });
}

}  // namespace graft::cpu
