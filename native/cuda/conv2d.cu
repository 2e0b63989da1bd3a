// conv2d without a vendor library: implicit matrix products over the window, each group a matrix of the batch. Convolutions of one input
// channel a group (depthwise) have kernels of their own: a thread an element, sums over positions for the weight. Before it come cuDNN,
// linear where a convolution is that, and products over patches (conv2d_patches.cu).
#include "convolution.cuh"
#include "matmul/choice.h"
#include "product.cuh"
#include "reduce.cuh"
#include "vendor/cudnn.h"

namespace graft::cuda {

// Forward: rows are output positions, l = (r, s, channel of the group).
template <class T>
struct PatchRows {
  Convolution z;
  const T* x;
  bool along_k = true;
  static constexpr int kAtOnce = 1;
  __device__ int64_t start(int64_t group, int64_t) const { return group * z.cg; }
  __device__ float load(int64_t start, int64_t i, int64_t l) const {
    const int tap = static_cast<int>(l) / z.cg, c = static_cast<int>(l) % z.cg;
    const int64_t at = z.input(static_cast<int>(i), tap / z.w.kernel, tap % z.w.kernel);
    return at < 0 ? 0 : float_of(x[at + start + c]);
  }
};
template <class T>
struct FilterColumns {
  const T* weight;
  int64_t per_group, per_filter;
  bool along_k = true;
  static constexpr int kAtOnce = 4;
  __device__ int64_t start(int64_t group, int64_t) const { return group * per_group; }
  __device__ float load(int64_t start, int64_t l, int64_t j) const { return float_of(weight[start + j * per_filter + l]); }
};
template <class T>
struct StoreOutputs {
  Result<T> y;
  const float* bias;
  int64_t outs, og;
  __device__ int64_t start(int64_t group) const { return group * og; }
  __device__ void put(int64_t start, int64_t i, int64_t j, float sum) const { y.put(i * outs + start + j, bias ? sum + bias[start + j] : sum); }
};

// dx: rows are input positions, l = (r, s, output of the group).
template <class T>
struct OutputRows {
  Convolution z;
  const T* g;
  bool along_k = true;
  static constexpr int kAtOnce = 1;
  __device__ int64_t start(int64_t group, int64_t) const { return group * z.og; }
  __device__ float load(int64_t start, int64_t i, int64_t l) const {
    const int tap = static_cast<int>(l) / z.og, o = static_cast<int>(l) % z.og;
    const int64_t at = z.output(static_cast<int>(i), tap / z.w.kernel, tap % z.w.kernel);
    return at < 0 ? 0 : float_of(g[at + start + o]);
  }
};
template <class T>
struct FilterRows {
  Convolution z;
  const T* weight;
  bool along_k = false;
  static constexpr int kAtOnce = 1;
  __device__ int64_t start(int64_t group, int64_t) const { return group * z.og; }
  __device__ float load(int64_t start, int64_t l, int64_t j) const {
    const int tap = static_cast<int>(l) / z.og;
    const int64_t o = start + static_cast<int>(l) % z.og;
    return float_of(weight[(o * z.h.kernel * z.w.kernel + tap) * z.cg + j]);
  }
};
template <class T>
struct StoreInputs {
  Gradient<T> dx;
  int64_t channels, cg;
  __device__ int64_t start(int64_t group) const { return group * cg; }
  __device__ void put(int64_t start, int64_t i, int64_t j, float sum) const { dx.put(i * channels + start + j, sum); }
};

// dw: rows are outputs of the group, columns (r, s, channel), l = output positions.
template <class T>
struct OutputColumns {
  const T* g;
  int64_t outs, og;
  bool along_k = false;
  static constexpr int kAtOnce = 4;
  __device__ int64_t start(int64_t group, int64_t) const { return group * og; }
  __device__ float load(int64_t start, int64_t i, int64_t l) const { return float_of(g[l * outs + start + i]); }
};
template <class T>
struct PatchColumns {
  PatchRows<T> patches;
  bool along_k = false;
  static constexpr int kAtOnce = 1;
  __device__ int64_t start(int64_t group, int64_t part) const { return patches.start(group, part); }
  __device__ float load(int64_t start, int64_t l, int64_t j) const { return patches.load(start, l, j); }
};
struct StoreFilters {
  Gradient<float> dw;
  int64_t per_group, per_filter;
  __device__ int64_t start(int64_t group) const { return group * per_group; }
  __device__ void put(int64_t start, int64_t i, int64_t j, float sum) const { dw.put(start + i * per_filter + j, sum); }
};

// Depthwise: output channel o reads input channel o / og.
template <class T>
struct DepthwiseForward {
  Convolution z;
  const T *x, *weight;
  const float* bias;
  Result<T> y;
  __device__ void operator()(int64_t i) const {
    const int o = static_cast<int>(i % z.outs), position = static_cast<int>(i / z.outs);
    float sum = bias ? bias[o] : 0;
    for (int r = 0; r < z.h.kernel; r++)
      for (int s = 0; s < z.w.kernel; s++) {
        const int64_t at = z.input(position, r, s);
        if (at >= 0) sum += float_of(x[at + o / z.og]) * float_of(weight[(o * z.h.kernel + r) * z.w.kernel + s]);
      }
    y.put(i, sum);
  }
};
template <class T>
struct DepthwiseData {
  Convolution z;
  const T *g, *weight;
  Gradient<T> dx;
  __device__ void operator()(int64_t i) const {
    const int c = static_cast<int>(i % z.channels), position = static_cast<int>(i / z.channels);
    float sum = 0;
    for (int r = 0; r < z.h.kernel; r++)
      for (int s = 0; s < z.w.kernel; s++) {
        const int64_t at = z.output(position, r, s);
        for (int o = c * z.og; at >= 0 && o < (c + 1) * z.og; o++) sum += float_of(g[at + o]) * float_of(weight[(o * z.h.kernel + r) * z.w.kernel + s]);
      }
    dx.put(i, sum);
  }
};
template <class T>
struct DepthwiseTerm {  // of dw[o, tap], over output positions
  Convolution z;
  const T *g, *x;
  __device__ void operator()(int64_t tap, int64_t position, int64_t o, float (&v)[1]) const {
    const int t = static_cast<int>(tap);
    const int64_t at = z.input(static_cast<int>(position), t / z.w.kernel, t % z.w.kernel);
    v[0] = at < 0 ? 0 : float_of(g[position * z.outs + o]) * float_of(x[at + o / z.og]);
  }
};
struct PutDepthwise {
  Gradient<float> dw;
  Divisor outs;
  int64_t taps;
  __device__ void operator()(int64_t i, const double (&sums)[1]) const { dw.put(i % outs * taps + i / outs, static_cast<float>(sums[0])); }
};

namespace {

// 1 x 1 without stride, padding and groups: a product of all positions.
bool every_position_alone(const Request& r) {
  const Shape &x = r.inputs[kInput].shape, &w = r.inputs[kFilter].shape, &y = r.outputs[0].shape;
  const OpCall call = r.call();
  return w[1] == 1 && w[2] == 1 && call.integer("groups") == 1 && call.integer("stride_h") == 1 && call.integer("stride_w") == 1 && y[1] == x[1] && y[2] == x[2];
}

template <class T>
std::unique_ptr<Kernel> forward(const Device& d, const Request& r) {
  const Convolution z = convolution(r);
  const bool biased = r.call().has(kShift), depthwise = z.cg == 1 && z.groups > 1;
  const int64_t positions = z.outputs(), per_filter = z.taps() * z.cg;
  return own(d, depthwise ? "depthwise" : "simt:conv2d", 0, [=, &d](const Args& a) {
    const float* bias = biased ? in<float>(a, kShift) : nullptr;
    const T *x = in<T>(a, kInput), *weight = in<T>(a, kFilter);
    if (depthwise) over_all(d, positions * z.outs, DepthwiseForward<T>{z, x, weight, bias, result<T>(r, a)});
    else
      product(d, z.groups, positions, z.og, per_filter, 1, PatchRows<T>{z, x}, FilterColumns<T>{weight, z.og * per_filter, per_filter},
              StoreOutputs<T>{result<T>(r, a), bias, z.outs, z.og});
  });
}

template <class T>
std::unique_ptr<Kernel> backward(const Device& d, const Request& r) {
  const Convolution z = convolution(r);
  const bool depthwise = z.cg == 1 && z.groups > 1;
  const int64_t positions = z.outputs(), inputs = z.inputs(), per_filter = z.taps() * z.cg;
  const SumShape columns(1, positions, z.outs), filters(z.taps(), positions, z.outs);
  const size_t scratch = std::max(wants(r, kShift) ? columns.scratch(1) : 0, depthwise && wants(r, kFilter) ? filters.scratch(1) : 0);
  return own(d, depthwise ? "depthwise" : "simt:conv2d", scratch, [=, &d](const Args& a) {
    const T* g = static_cast<const T*>(a.dout);
    const Gradient<T> dx = gradient_of<T>(r, a, kInput);
    const Gradient<float> dw = gradient_of<float>(r, a, kFilter), db = gradient_of<float>(r, a, kShift);
    float* partial = static_cast<float*>(a.scratch);
    if (db.address) middle_sums<1>(d, columns, partial, ColumnTerm<T>{g, z.outs}, PutColumnSum{db});
    if (depthwise) {
      if (dw.address) middle_sums<1>(d, filters, partial, DepthwiseTerm<T>{z, g, in<T>(a, kInput)}, PutDepthwise{dw, z.outs, z.taps()});
      if (dx.address) over_all(d, inputs * z.channels, DepthwiseData<T>{z, g, in<T>(a, kFilter), dx});
      return;
    }
    if (dw.address)
      product(d, z.groups, z.og, per_filter, positions, 1, OutputColumns<T>{g, z.outs, z.og}, PatchColumns<T>{{z, in<T>(a, kInput)}},
              StoreFilters{dw, z.og * per_filter, per_filter});
    if (dx.address)
      product(d, z.groups, inputs, z.cg, z.taps() * z.og, 1, OutputRows<T>{z, g}, FilterRows<T>{z, in<T>(a, kFilter)},
              StoreInputs<T>{dx, z.channels, z.cg});
  });
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d(const Device& d, const Request& r) {
  const DType type = r.inputs[kInput].dtype;
  if (!storable(type) || r.inputs[kFilter].dtype != type || r.outputs[0].dtype != type) return nullptr;
  if (r.pass == Pass::Backward && (r.second_gradient || r.epilogue.any())) return nullptr;
  const int64_t groups = r.call().integer("groups");
  if (groups == 1 || r.inputs[kInput].shape[3] != groups)  // depthwise kernels are own
    if (auto kernel = make_cudnn_conv2d(d, r)) return kernel;
  if (choice_settings(d).policy != MatmulPolicy::Vendor) {  // which has no say in how own kernels make what cuDNN does not
    if (every_position_alone(r)) return make_linear(d, r);
    if (auto kernel = make_patches_conv2d(d, r)) return kernel;
  }
  if (r.pass == Pass::Forward) return type == DType::BF16 ? forward<Bf16>(d, r) : forward<float>(d, r);
  return type == DType::BF16 ? backward<Bf16>(d, r) : backward<float>(d, r);
}

}  // namespace graft::cuda
