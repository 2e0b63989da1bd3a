// Sizes of a conv2d, and which elements meet in it. x and y are NHWC, filters OHWI.
#pragma once
#include "operands.cuh"

namespace graft::cuda {

// Positions, taps and channels are counted in 32 bits, which divide several times faster than 64; addresses are not.

// One axis of the window.
struct Window {
  int size, kernel, stride, before, dilation, result;
  // The position in x that output p reads through tap r; outside: -1.
  __device__ int at(int p, int r) const {
    const int i = p * stride - before + r * dilation;
    return i >= 0 && i < size ? i : -1;
  }
  // The output whose tap r reads position i; none: -1.
  __device__ int output(int i, int r) const {
    const int t = i + before - r * dilation;
    return t >= 0 && t % stride == 0 && t / stride < result ? t / stride : -1;
  }
};

struct Convolution {
  int samples, channels, outs, groups, cg, og;  // cg, og: of one group
  Window h, w;
  int64_t taps() const { return int64_t{h.kernel} * w.kernel; }
  int64_t outputs() const { return int64_t{samples} * h.result * w.result; }  // positions
  int64_t inputs() const { return int64_t{samples} * h.size * w.size; }
  // x at window position (r, s) of output position `at` = (sample, p, q), or -1.
  __device__ int64_t input(int at, int r, int s) const {
    const int q = at % w.result, row = at / w.result, i = h.at(row % h.result, r), j = w.at(q, s);
    return i < 0 || j < 0 ? -1 : (int64_t{row / h.result * h.size + i} * w.size + j) * channels;
  }
  // The output at input position `at` that tap (r, s) leads to, or -1.
  __device__ int64_t output(int at, int r, int s) const {
    const int j = at % w.size, row = at / w.size, p = h.output(row % h.size, r), q = w.output(j, s);
    return p < 0 || q < 0 ? -1 : (int64_t{row / h.size * h.result + p} * w.result + q) * outs;
  }
};

enum { kInput, kFilter, kShift };

inline int small(int64_t size) {
  require(size <= INT32_MAX, "conv2d: the CUDA column counts positions and channels up to 2^31 - 1, got ", size);
  return static_cast<int>(size);
}

inline Window window(const Request& r, int axis, const char* stride, const char* before, const char* dilation) {
  return {small(r.inputs[kInput].shape[axis]), small(r.inputs[kFilter].shape[axis]), small(r.call().integer(stride)), small(r.call().integer(before)),
          small(r.call().integer(dilation)), small(r.outputs[0].shape[axis])};
}

inline Convolution convolution(const Request& r) {
  Convolution z{};
  z.samples = small(r.inputs[kInput].shape[0]);
  z.channels = small(r.inputs[kInput].shape[3]);
  z.outs = small(r.inputs[kFilter].shape[0]);
  z.groups = small(r.call().integer("groups"));
  z.cg = z.channels / z.groups;
  z.og = z.outs / z.groups;
  z.h = window(r, 1, "stride_h", "pad_top", "dilation_h");
  z.w = window(r, 2, "stride_w", "pad_left", "dilation_w");
  for (int64_t size : {z.outputs(), z.inputs(), z.taps() * std::max(z.cg, z.og), z.outputs() / z.samples * z.h.stride * z.w.stride}) small(size);
  return z;
}

// By matrix products over patches that are written to scratch memory, `bytes` of them at a time; null where no product but own:simt makes
// them, since patches need not be written for that.
constexpr size_t kPatchBytes = size_t{64} << 20;
std::unique_ptr<Kernel> make_patches_conv2d(const Device& d, const Request& r, size_t bytes = kPatchBytes);

}  // namespace graft::cuda
