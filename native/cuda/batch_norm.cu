// batch_norm over the last axis: statistics are sums over rows, in two stages; the rest is element by element, or four at a time where the
// channels are a multiple of four. Rows behind the valid ones take no part in statistics, and their gradient is zero.
#include "reduce.cuh"

namespace graft::cuda {

enum { kX, kWeight, kBias, kRunningMean, kRunningVar };

// How many rows count: all, or over the batch those of the valid samples, which the device knows.
struct LiveRows {
  const StepHeader* header;  // null: all
  int64_t rows, rows_per_sample;
  __device__ int64_t operator()() const { return header ? header->valid_rows * rows_per_sample : rows; }
};

// Sum of x, or with means of (x - mean)^2.
template <class T>
struct StatisticTerm {
  const T* x;
  const float* means;
  LiveRows live;
  int64_t channels;
  __device__ void operator()(int64_t, int64_t row, int64_t c, float (&v)[1]) const {
    v[0] = 0;
    if (row >= live()) return;
    v[0] = float_of(x[row * channels + c]);
    if (means) v[0] = (v[0] - means[c]) * (v[0] - means[c]);
  }
};

struct PutChannelMean {
  float* means;
  LiveRows live;
  __device__ void operator()(int64_t c, const double (&sums)[1]) const { means[c] = live() > 0 ? static_cast<float>(sums[0] / live()) : 0.f; }
};

struct PutStatistics {
  const float* means;
  float *rstds, *running_mean, *running_var;
  LiveRows live;
  double eps, momentum;
  __device__ void operator()(int64_t c, const double (&sums)[1]) const {
    const double n = static_cast<double>(live()), var = n > 0 ? sums[0] / n : 0, unbiased = n > 1 ? sums[0] / (n - 1) : var;
    rstds[c] = static_cast<float>(1 / sqrt(var + eps));
    running_mean[c] = static_cast<float>((1 - momentum) * running_mean[c] + momentum * means[c]);
    running_var[c] = static_cast<float>((1 - momentum) * running_var[c] + momentum * unbiased);
  }
};

// rstds null: from the running variance.
struct Channel {
  const float *means, *rstds, *variances;
  float eps;
  __device__ float rstd(int64_t c) const { return rstds ? rstds[c] : 1 / sqrtf(variances[c] + eps); }
  __device__ Four four_rstds(int64_t c, bool whole) const {
    Four v = load4(rstds ? rstds : variances, c, 4, whole);
    for (int k = 0; k < 4; k++) v.v[k] = rstds ? v.v[k] : 1 / sqrtf(v.v[k] + eps);
    return v;
  }
};

// f for every element, by fours where these lie in one row: then its second form is called, with an element whose number is a multiple of four.
template <class F, class... Operands>
void over_norm(const Device& d, int64_t n, int64_t channels, const F& f, const Operands*... operands) {
  if (channels % 4 == 0) over_fours(d, n, aligned_for_four(operands...), f);
  else over_all(d, n, f);
}

template <class T>
struct Normalise {
  const T* x;
  Result<T> y;
  Channel channel;
  const float *weight, *bias;
  Divisor channels;
  __device__ void operator()(int64_t i) const {
    const int64_t c = i % channels;
    y.put(i, (float_of(x[i]) - channel.means[c]) * channel.rstd(c) * weight[c] + bias[c]);
  }
  __device__ void operator()(int64_t i, int, bool whole) const {
    const int64_t c = i % channels;
    Four v = load4(x, i, 4, whole);
    const Four mean = load4(channel.means, c, 4, whole), rstd = channel.four_rstds(c, whole), w = load4(weight, c, 4, whole), b = load4(bias, c, 4, whole);
    for (int k = 0; k < 4; k++) v.v[k] = (v.v[k] - mean.v[k]) * rstd.v[k] * w.v[k] + b.v[k];
    if (y.residual) {
      const Four added = load4(y.residual, i, 4, whole);
      for (int k = 0; k < 4; k++) v.v[k] += added.v[k];
    }
    for (int k = 0; k < 4; k++) v.v[k] = activate(y.activation, y.slope, v.v[k]);
    store4(y.out, i, 4, whole, v);
  }
};

// The gradient before the epilogue, where the activation's slope may come from signs of its result instead (Service::Signs).
template <class T>
struct NormIncoming {
  Incoming<T> plain;
  const uint8_t* signs;  // null: plain has the result
  float low;             // the slope where the bit is not set
  __device__ __forceinline__ float operator()(int64_t i) const {
    const float g = plain(i);
    return signs ? g * (signs[i >> 3] >> (i & 7) & 1 ? 1.f : low) : g;
  }
  __device__ __forceinline__ Four four(int64_t i, bool whole) const {
    Four g = load4(plain.dout, i, 4, whole);
    if (plain.dout2) {
      const Four second = load4(plain.dout2, i, 4, whole);
      for (int k = 0; k < 4; k++) g.v[k] += second.v[k];
    }
    if (plain.activated) {
      const Four y = load4(plain.activated, i, 4, whole);
      for (int k = 0; k < 4; k++) g.v[k] *= slope_from_result(plain.activation, plain.slope, y.v[k]);
    }
    if (signs) {
      const unsigned bits = static_cast<unsigned>(signs[i >> 3]) >> (i & 7);  // of elements i to i + 3: one byte
      for (int k = 0; k < 4; k++) {
        const float slope = bits >> k & 1 ? 1.f : low;
        g.v[k] *= slope;
      }
    }
    return g;
  }
};

template <class T>
NormIncoming<T> norm_incoming(const Request& r, const Args& a) {
  NormIncoming<T> g{incoming<T>(r, a), nullptr, r.epilogue.activation == Activation::LeakyRelu ? r.epilogue.slope : 0};
  if (!r.signs) return g;
  g.plain.activated = nullptr;
  g.signs = static_cast<const uint8_t*>(a.activated);
  return g;
}

// The gradient before the epilogue, and the sums over it. Where it is more than dout it is kept, in `kept`, for the second pass.
template <class T>
struct NormSums {
  NormIncoming<T> g;
  T* kept;
  const T* x;  // null: not wanted
  Channel channel;
  LiveRows live;
  int64_t channels;
  __device__ void operator()(int64_t, int64_t row, int64_t c, float (&v)[2]) const {
    const int64_t i = row * channels + c;
    float formed = g(i);
    if (kept) {
      const T rounded = stored<T>(formed);
      kept[i] = rounded;
      formed = float_of(rounded);
    }
    const bool counts = row < live();
    v[0] = counts ? formed : 0;
    v[1] = counts && x ? formed * (float_of(x[i]) - channel.means[c]) * channel.rstd(c) : 0;
  }
};

struct PutNormSums {
  Gradient<float> dweight, dbias;
  float *mean_g, *mean_gx;  // what the second pass subtracts
  LiveRows live;
  __device__ void operator()(int64_t c, const double (&sums)[2]) const {
    if (dweight.address) dweight.put(c, static_cast<float>(sums[1]));
    if (dbias.address) dbias.put(c, static_cast<float>(sums[0]));
    const double n = live() > 0 ? static_cast<double>(live()) : 1;
    mean_g[c] = static_cast<float>(sums[0] / n);
    mean_gx[c] = static_cast<float>(sums[1] / n);
  }
};

// x null: statistics are constants. dresidual: the gradient before the epilogue, where no first pass has written it.
template <class T>
struct NormData {
  NormIncoming<T> g;
  T* dresidual;
  const T* x;
  Gradient<T> dx;
  Channel channel;
  const float *weight, *mean_g, *mean_gx;
  LiveRows live;
  Divisor channels;
  __device__ void operator()(int64_t i) const {
    const int64_t row = i / channels, c = i % channels;
    float v = g(i);
    if (dresidual) {
      const T rounded = stored<T>(v);
      dresidual[i] = rounded;
      v = float_of(rounded);
    }
    if (!dx.address) return;
    const float rstd = channel.rstd(c);
    if (x) v -= mean_g[c] + (float_of(x[i]) - channel.means[c]) * rstd * mean_gx[c];
    dx.put(i, row < live() ? v * weight[c] * rstd : 0);
  }
  __device__ void operator()(int64_t i, int, bool whole) const {
    const int64_t row = i / channels, c = i % channels;
    Four v = g.four(i, whole);
    if (dresidual) {
      for (int k = 0; k < 4; k++) v.v[k] = float_of(stored<T>(v.v[k]));
      store4(dresidual, i, 4, whole, v);
    }
    if (!dx.address) return;
    const Four rstd = channel.four_rstds(c, whole), w = load4(weight, c, 4, whole);
    if (x) {
      const Four at = load4(x, i, 4, whole), mean = load4(channel.means, c, 4, whole), part = load4(mean_g, c, 4, whole), along = load4(mean_gx, c, 4, whole);
      for (int k = 0; k < 4; k++) v.v[k] -= part.v[k] + (at.v[k] - mean.v[k]) * rstd.v[k] * along.v[k];
    }
    const bool counts = row < live();
    for (int k = 0; k < 4; k++) v.v[k] = counts ? v.v[k] * w.v[k] * rstd.v[k] : 0;
    if (dx.accumulate) {
      const Four before = load4(dx.address, i, 4, whole);
      for (int k = 0; k < 4; k++) v.v[k] += before.v[k];
    }
    store4(dx.address, i, 4, whole, v);
  }
};

namespace {

template <class T>
std::unique_ptr<Kernel> forward(const Device& d, const Request& r) {
  const int64_t channels = r.inputs[kX].shape[-1], n = r.inputs[kX].count(), rows = n / channels, rows_per_sample = rows / r.batch;
  const bool batch = r.batch_statistics;
  const double eps = r.call().number("eps"), momentum = r.call().number("momentum");
  const SumShape s(1, rows, channels);
  return own(d, "batch_norm", batch ? s.scratch(1) : 0, [=, &d](const Args& a) {
    Channel channel{in<float>(a, kRunningMean), nullptr, in<float>(a, kRunningVar), static_cast<float>(eps)};
    if (batch) {
      float *means = static_cast<float*>(a.out[1]), *rstds = static_cast<float*>(a.out[2]), *partial = static_cast<float*>(a.scratch);
      const LiveRows live{a.step->header, rows, rows_per_sample};
      middle_sums<1>(d, s, partial, StatisticTerm<T>{in<T>(a, kX), nullptr, live, channels}, PutChannelMean{means, live});
      middle_sums<1>(d, s, partial, StatisticTerm<T>{in<T>(a, kX), means, live, channels},
                     PutStatistics{means, rstds, static_cast<float*>(a.in[kRunningMean]), static_cast<float*>(a.in[kRunningVar]), live, eps, momentum});
      channel = {means, rstds, nullptr, 0};
    }
    const Normalise<T> f{in<T>(a, kX), result<T>(r, a), channel, in<float>(a, kWeight), in<float>(a, kBias), channels};
    over_norm(d, n, channels, f, f.x, f.y.out, f.y.residual, f.weight, f.bias, channel.means, channel.rstds, channel.variances);
  });
}

template <class T>
std::unique_ptr<Kernel> backward(const Device& d, const Request& r) {
  const int64_t channels = r.inputs[kX].shape[-1], n = r.inputs[kX].count(), rows = n / channels, rows_per_sample = rows / r.batch;
  const bool batch = r.batch_statistics, wants_x = wants(r, kX), reads_x = wants(r, kWeight) || (batch && wants_x);
  const bool formed = r.second_gradient || r.epilogue.activation != Activation::None;
  const bool sums = wants(r, kWeight) || wants(r, kBias) || (batch && wants_x), over_dx = wants_x && mode_of(r, kX) == GradMode::Overwrite;
  const float eps = static_cast<float>(r.call().number("eps"));
  const SumShape s(1, rows, channels);
  return own(d, "batch_norm", 2 * aligned(4 * static_cast<size_t>(channels)) + (sums ? s.scratch(2) : 0), [=, &d](const Args& a) {
    Cut scratch(a.scratch);
    float *mean_g = scratch.take<float>(channels), *mean_gx = scratch.take<float>(channels), *partial = scratch.take<float>(0);
    const LiveRows live{batch ? a.step->header : nullptr, rows, rows_per_sample};
    // Absent where nothing reads them: the planner gives no valid address then.
    const Channel channel{static_cast<const float*>(batch ? a.out[1] : a.in[kRunningMean]), static_cast<const float*>(batch ? a.out[2] : nullptr),
                          in<float>(a, kRunningVar), eps};
    NormIncoming<T> g = norm_incoming<T>(r, a);
    T* dresidual = static_cast<T*>(r.residual_gradient ? a.dresidual : nullptr);
    if (sums) {
      // What is formed once need not be formed again: the residual's gradient keeps it, or dx until it is overwritten.
      T* kept = dresidual ? dresidual : formed && batch && over_dx ? static_cast<T*>(a.din[kX]) : nullptr;
      middle_sums<2>(d, s, partial, NormSums<T>{g, kept, reads_x ? in<T>(a, kX) : nullptr, channel, live, channels},
                     PutNormSums{gradient_of<float>(r, a, kWeight), gradient_of<float>(r, a, kBias), mean_g, mean_gx, live});
      if (kept) g = {{kept, nullptr, nullptr, Activation::None, 0}, nullptr, 0};
      dresidual = nullptr;
    }
    const Gradient<T> dx = gradient_of<T>(r, a, kX);
    if (dx.address || dresidual) {
      const NormData<T> f{g, dresidual, batch && dx.address ? in<T>(a, kX) : nullptr, dx, channel, in<float>(a, kWeight), mean_g, mean_gx, live, channels};
      over_norm(d, n, channels, f, f.x, f.g.plain.dout, f.g.plain.dout2, f.g.plain.activated, dresidual, dx.address, f.weight, channel.means, channel.rstds, channel.variances, mean_g, mean_gx);
    }
  });
}

}  // namespace

std::unique_ptr<Kernel> make_batch_norm(const Device& d, const Request& r) {
  if (!storable(r.inputs[kX].dtype) || r.outputs[0].dtype != r.inputs[kX].dtype || r.recomputes) return nullptr;
  const bool narrow = r.outputs[0].dtype == DType::BF16;
  if (r.pass == Pass::Forward) return narrow ? forward<Bf16>(d, r) : forward<float>(d, r);
  return narrow ? backward<Bf16>(d, r) : backward<float>(d, r);
}

}  // namespace graft::cuda
