// conv2d: y[n, p, q, o] = b[o] + sum over r, s, c of x[n, p * stride_h - pad_top + r * dilation_h, (likewise q, s), c] w[o, r, s, c].
// x is NHWC, the weight OHWI with the channels of one group innermost; positions outside x are zero.
#include "reference.h"

namespace graft::reference {
namespace {

// One axis of the window.
struct Window {
  int64_t size, kernel, stride, before, dilation, result;
  // The position in x that output p reads through tap r, or -1 outside.
  int64_t at(int64_t p, int64_t r) const {
    int64_t i = p * stride - before + r * dilation;
    return i >= 0 && i < size ? i : -1;
  }
  // The output whose tap r reads position i, or -1.
  int64_t output(int64_t i, int64_t r) const {
    int64_t t = i + before - r * dilation;
    return t >= 0 && t % stride == 0 && t / stride < result ? t / stride : -1;
  }
};

std::vector<TensorType> infer(const OpCall& call) {
  const Shape &x = call.inputs[0].shape, &w = call.inputs[1].shape;
  require_float(call, 0, "conv2d", "x");
  require(x.rank == 4, "conv2d: x must be [batch, height, width, channels], got ", x.str());
  require(w.rank == 4, "conv2d: weight must be [out, height, width, in / groups], got ", w.str());
  for (const char* key : {"stride_h", "stride_w", "dilation_h", "dilation_w", "groups"})
    require(call.integer(key) >= 1, "conv2d: ", key, " must be at least 1, got ", call.number(key));
  for (const char* key : {"pad_top", "pad_left", "pad_bottom", "pad_right"})
    require(call.integer(key) >= 0, "conv2d: ", key, " must not be negative, got ", call.number(key));
  int64_t groups = call.integer("groups");
  require(x[3] % groups == 0 && w[0] % groups == 0, "conv2d: ", groups, " groups must divide the ", x[3],
          " channels of x and the ", w[0], " of the result");
  require(x[3] / groups == w[3], "conv2d: x ", x.str(), " has ", x[3] / groups, " channels a group, weight ", w.str(),
          " expects ", w[3]);
  if (call.has(2))
    require(call.inputs[2].shape == Shape{w[0]}, "conv2d: bias must be [", w[0], "], got ", call.inputs[2].shape.str());
  auto size = [&](int axis, const char* before, const char* after, const char* stride, const char* dilation) {
    int64_t padded = x[axis] + call.integer(before) + call.integer(after);
    int64_t extent = call.integer(dilation) * (w[axis] - 1) + 1;
    require(padded >= extent, "conv2d: a kernel of extent ", extent, " does not fit into ", padded,
            " padded positions of x ", x.str(), " along axis ", axis);
    return (padded - extent) / call.integer(stride) + 1;
  };
  TensorType y = call.inputs[0];
  y.shape = {x[0], size(1, "pad_top", "pad_bottom", "stride_h", "dilation_h"),
             size(2, "pad_left", "pad_right", "stride_w", "dilation_w"), w[0]};
  return {y};
}

OpDef::Reads backward_reads(const OpCall& call, const std::vector<bool>& wanted) {
  OpDef::Reads reads = reads_nothing(call, wanted);
  reads.inputs[0] = wanted[1];
  reads.inputs[1] = wanted[0];
  return reads;
}

struct Sizes {
  explicit Sizes(const Run& run)
      : n(run.in_shape(0)[0]), c(run.in_shape(0)[3]), o(run.in_shape(1)[0]), groups(run.integer("groups")),
        cg(c / groups), og(o / groups),
        h{run.in_shape(0)[1], run.in_shape(1)[1], run.integer("stride_h"), run.integer("pad_top"), run.integer("dilation_h"),
          run.out_shape()[1]},
        w{run.in_shape(0)[2], run.in_shape(1)[2], run.integer("stride_w"), run.integer("pad_left"), run.integer("dilation_w"),
          run.out_shape()[2]} {}
  int64_t n, c, o, groups, cg, og;
  Window h, w;
  int64_t x(int64_t b, int64_t i, int64_t j, int64_t ch) const { return ((b * h.size + i) * w.size + j) * c + ch; }
  int64_t y(int64_t b, int64_t p, int64_t q, int64_t out) const { return ((b * h.result + p) * w.result + q) * o + out; }
  int64_t weight(int64_t out, int64_t r, int64_t s, int64_t ch) const {
    return ((out * h.kernel + r) * w.kernel + s) * cg + ch;
  }
};

void forward(const Run& run) {
  Sizes z(run);
  In x = run.in(0), w = run.in(1), b = run.in(2);
  Result y = run.result();
  for (int64_t n = 0; n < z.n; n++)
    for (int64_t p = 0; p < z.h.result; p++)
      for (int64_t q = 0; q < z.w.result; q++)
        for (int64_t o = 0; o < z.o; o++) {
          double sum = b ? b[o] : 0;
          int64_t c0 = o / z.og * z.cg;
          for (int64_t r = 0; r < z.h.kernel; r++)
            for (int64_t s = 0; s < z.w.kernel; s++) {
              int64_t i = z.h.at(p, r), j = z.w.at(q, s);
              if (i < 0 || j < 0) continue;
              for (int64_t c = 0; c < z.cg; c++) sum += x[z.x(n, i, j, c0 + c)] * w[z.weight(o, r, s, c)];
            }
          y.put(z.y(n, p, q, o), sum);
        }
}

void input_gradient(const Run& run, const Sizes& z, In g, Gradient dx) {
  In w = run.in(1);
  for (int64_t n = 0; n < z.n; n++)
    for (int64_t i = 0; i < z.h.size; i++)
      for (int64_t j = 0; j < z.w.size; j++)
        for (int64_t c = 0; c < z.c; c++) {
          double sum = 0;
          int64_t o0 = c / z.cg * z.og;
          for (int64_t r = 0; r < z.h.kernel; r++)
            for (int64_t s = 0; s < z.w.kernel; s++) {
              int64_t p = z.h.output(i, r), q = z.w.output(j, s);
              if (p < 0 || q < 0) continue;
              for (int64_t o = o0; o < o0 + z.og; o++) sum += g[z.y(n, p, q, o)] * w[z.weight(o, r, s, c % z.cg)];
            }
          dx.put(z.x(n, i, j, c), sum);
        }
}

void weight_gradient(const Run& run, const Sizes& z, In g, Gradient dw) {
  In x = run.in(0);
  for (int64_t o = 0; o < z.o; o++)
    for (int64_t r = 0; r < z.h.kernel; r++)
      for (int64_t s = 0; s < z.w.kernel; s++)
        for (int64_t c = 0; c < z.cg; c++) {
          double sum = 0;
          for (int64_t n = 0; n < z.n; n++)
            for (int64_t p = 0; p < z.h.result; p++)
              for (int64_t q = 0; q < z.w.result; q++) {
                int64_t i = z.h.at(p, r), j = z.w.at(q, s);
                if (i >= 0 && j >= 0) sum += g[z.y(n, p, q, o)] * x[z.x(n, i, j, o / z.og * z.cg + c)];
              }
          dw.put(z.weight(o, r, s, c), sum);
        }
}

void backward(const Run& run) {
  Sizes z(run);
  In g = run.result_gradient();
  Gradient dx = run.gradient(0), dw = run.gradient(1), db = run.gradient(2);
  if (dx.wanted()) input_gradient(run, z, g, dx);
  if (dw.wanted()) weight_gradient(run, z, g, dw);
  if (db.wanted())
    for (int64_t o = 0; o < z.o; o++) {
      double sum = 0;
      for (int64_t i = o; i < run.out_shape().count(); i += z.o) sum += g[i];
      db.put(o, sum);
    }
}

}  // namespace

void add_conv2d() {
  OpDef def;
  def.name = "conv2d";
  def.inputs = {{"x"}, {"weight", Role::Weight}, {"bias", Role::Vector, true}};
  def.attributes = {{"stride_h", 1}, {"stride_w", 1}, {"pad_top"}, {"pad_left"}, {"pad_bottom"}, {"pad_right"},
                    {"dilation_h", 1}, {"dilation_w", 1}, {"groups", 1}};
  def.infer = infer;
  def.backward_reads = backward_reads;
  add_op(def, {forward, backward, nullptr, true});
}

}  // namespace graft::reference
