// max_pool, avg_pool: windows over height and width of NHWC. global_pool: over all of both.
// With ceil_mode the last window may hang over the end, but must start inside x or its padding before (PyTorch's rule).
#include <cmath>

#include "reference.h"

namespace graft::reference {
namespace {

// One axis of the windows.
struct Axis {
  int64_t size, kernel, stride, before, after, result;
  int64_t start(int64_t p) const { return p * stride - before; }
  // The outputs whose windows hold position i: [first, last].
  int64_t first(int64_t i) const { return std::max<int64_t>(0, (i + before - kernel + stride) / stride); }
  int64_t last(int64_t i) const { return std::min(result - 1, (i + before) / stride); }
};

Axis axis(const Shape& x, int d, int64_t kernel, int64_t stride, int64_t before, int64_t after, bool ceil_mode) {
  Axis a{x[d], kernel, stride == 0 ? kernel : stride, before, after, 0};
  int64_t room = a.size + before + after - kernel;
  a.result = (room + (ceil_mode ? a.stride - 1 : 0)) / a.stride + 1;
  if (ceil_mode && (a.result - 1) * a.stride >= a.size + before) a.result--;
  return a;
}

// Anything with integer(key): a call at graph time or a run.
template <class Source>
std::pair<Axis, Axis> axes(const Source& source, const Shape& x) {
  bool ceil_mode = source.integer("ceil_mode") != 0;
  return {axis(x, 1, source.integer("kernel_h"), source.integer("stride_h"), source.integer("pad_top"),
               source.integer("pad_bottom"), ceil_mode),
          axis(x, 2, source.integer("kernel_w"), source.integer("stride_w"), source.integer("pad_left"),
               source.integer("pad_right"), ceil_mode)};
}

TensorType infer(const OpCall& call, const char* op) {
  const Shape& x = call.inputs[0].shape;
  require_float(call, 0, op, "x");
  require(x.rank == 4, op, ": x must be [batch, height, width, channels], got ", x.str());
  for (const char* key : {"kernel_h", "kernel_w"})
    require(call.integer(key) >= 1, op, ": ", key, " must be at least 1, got ", call.number(key));
  for (const char* key : {"stride_h", "stride_w"})
    require(call.integer(key) >= 0, op, ": ", key, " must not be negative, got ", call.number(key));
  for (auto [pad, kernel] : {std::pair{"pad_top", "kernel_h"}, {"pad_bottom", "kernel_h"}, {"pad_left", "kernel_w"},
                             {"pad_right", "kernel_w"}})
    require(call.integer(pad) >= 0 && call.integer(pad) < call.integer(kernel), op, ": ", pad, " must lie in 0..", kernel,
            " - 1 = ", call.integer(kernel) - 1, ", so that no window lies in the padding, got ", call.number(pad));
  auto [h, w] = axes(call, x);
  for (auto [a, name] : {std::pair{h, "height"}, {w, "width"}})
    require(a.size + a.before + a.after >= a.kernel, op, ": a window of ", name, " ", a.kernel, " does not fit into ",
            a.size + a.before + a.after, " padded positions of x ", x.str());
  TensorType y = call.inputs[0];
  y.shape[1] = h.result;
  y.shape[2] = w.result;
  return y;
}

std::vector<TensorType> max_infer(const OpCall& call) {
  TensorType y = infer(call, "max_pool");
  bool small = call.integer("kernel_h") * call.integer("kernel_w") <= 256;
  return {y, {small ? DType::U8 : DType::I32, y.shape}};
}

std::vector<TensorType> avg_infer(const OpCall& call) { return {infer(call, "avg_pool")}; }

OpDef::Reads reads_positions(const OpCall&, const std::vector<bool>& wanted) { return {{false}, {false, wanted[0]}}; }

// Saves the position in the window, row by row. Of equal values the first wins; a NaN wins over all, as in PyTorch.
void max_forward(const Run& run) {
  const Shape& s = run.in_shape(0);
  auto [h, w] = axes(run, s);
  In x = run.in(0);
  int64_t c = s[3], at = 0;
  for (int64_t n = 0; n < s[0]; n++)
    for (int64_t p = 0; p < h.result; p++)
      for (int64_t q = 0; q < w.result; q++)
        for (int64_t ch = 0; ch < c; ch++, at++) {
          double best = 0;
          int64_t position = -1;
          for (int64_t r = 0; r < h.kernel; r++)
            for (int64_t t = 0; t < w.kernel; t++) {
              int64_t i = h.start(p) + r, j = w.start(q) + t;
              if (i < 0 || i >= h.size || j < 0 || j >= w.size) continue;
              double v = x[((n * h.size + i) * w.size + j) * c + ch];
              if (position >= 0 && !(v > best) && !(std::isnan(v) && !std::isnan(best))) continue;
              best = v;
              position = r * w.kernel + t;
            }
          run.out(0).put(at, best);
          run.out(1).put(at, static_cast<double>(position));
        }
}

void max_backward(const Run& run) {
  const Shape& s = run.in_shape(0);
  auto [h, w] = axes(run, s);
  In g = run.result_gradient(), positions = run.saved(1);
  Gradient dx = run.gradient(0);
  int64_t c = s[3], at = 0;
  for (int64_t n = 0; n < s[0]; n++)
    for (int64_t i = 0; i < h.size; i++)
      for (int64_t j = 0; j < w.size; j++)
        for (int64_t ch = 0; ch < c; ch++, at++) {
          double sum = 0;
          for (int64_t p = h.first(i); p <= h.last(i); p++)
            for (int64_t q = w.first(j); q <= w.last(j); q++) {
              int64_t window = ((n * h.result + p) * w.result + q) * c + ch;
              int64_t mine = (i - h.start(p)) * w.kernel + j - w.start(q);
              if (static_cast<int64_t>(positions[window]) == mine) sum += g[window];
            }
          dx.put(at, sum);
        }
}

// What the window of output p, q is divided by: with count_include_pad its part inside x and its padding, else inside x.
double divisor(const Axis& h, const Axis& w, int64_t p, int64_t q, bool include_pad) {
  auto extent = [&](const Axis& a, int64_t o) {
    int64_t from = a.start(o), to = from + a.kernel;
    if (include_pad) return std::min(to, a.size + a.after) - from;
    return std::min(to, a.size) - std::max<int64_t>(from, 0);
  };
  return static_cast<double>(extent(h, p) * extent(w, q));
}

void avg_forward(const Run& run) {
  const Shape& s = run.in_shape(0);
  auto [h, w] = axes(run, s);
  bool include_pad = run.integer("count_include_pad") != 0;
  In x = run.in(0);
  int64_t c = s[3], at = 0;
  for (int64_t n = 0; n < s[0]; n++)
    for (int64_t p = 0; p < h.result; p++)
      for (int64_t q = 0; q < w.result; q++)
        for (int64_t ch = 0; ch < c; ch++, at++) {
          double sum = 0;
          for (int64_t i = std::max<int64_t>(0, h.start(p)); i < std::min(h.size, h.start(p) + h.kernel); i++)
            for (int64_t j = std::max<int64_t>(0, w.start(q)); j < std::min(w.size, w.start(q) + w.kernel); j++)
              sum += x[((n * h.size + i) * w.size + j) * c + ch];
          run.out(0).put(at, sum / divisor(h, w, p, q, include_pad));
        }
}

void avg_backward(const Run& run) {
  const Shape& s = run.in_shape(0);
  auto [h, w] = axes(run, s);
  bool include_pad = run.integer("count_include_pad") != 0;
  In g = run.result_gradient();
  Gradient dx = run.gradient(0);
  int64_t c = s[3], at = 0;
  for (int64_t n = 0; n < s[0]; n++)
    for (int64_t i = 0; i < h.size; i++)
      for (int64_t j = 0; j < w.size; j++)
        for (int64_t ch = 0; ch < c; ch++, at++) {
          double sum = 0;
          for (int64_t p = h.first(i); p <= h.last(i); p++)
            for (int64_t q = w.first(j); q <= w.last(j); q++)
              sum += g[((n * h.result + p) * w.result + q) * c + ch] / divisor(h, w, p, q, include_pad);
          dx.put(at, sum);
        }
}

std::vector<TensorType> global_infer(const OpCall& call) {
  const Shape& x = call.inputs[0].shape;
  require_float(call, 0, "global_pool", "x");
  require(x.rank == 4, "global_pool: x must be [batch, height, width, channels], got ", x.str());
  TensorType y = call.inputs[0];
  y.shape = call.integer("keep") ? Shape{x[0], 1, 1, x[3]} : Shape{x[0], x[3]};
  if (!call.integer("max")) return {y};
  return {y, {DType::I32, y.shape}};  // the position h * width + w of the largest
}

OpDef::Reads global_reads(const OpCall& call, const std::vector<bool>& wanted) {
  if (!call.integer("max")) return reads_nothing(call, wanted);
  return reads_positions(call, wanted);
}

void global_forward(const Run& run) {
  const Shape& s = run.in_shape(0);
  In x = run.in(0);
  bool max = run.integer("max") != 0;
  int64_t c = s[3], positions = s[1] * s[2];
  for (int64_t n = 0; n < s[0]; n++)
    for (int64_t ch = 0; ch < c; ch++) {
      double best = 0, sum = 0;
      int64_t position = -1;
      for (int64_t i = 0; i < positions; i++) {
        double v = x[(n * positions + i) * c + ch];
        sum += v;
        if (position >= 0 && !(v > best) && !(std::isnan(v) && !std::isnan(best))) continue;
        best = v;
        position = i;
      }
      run.out(0).put(n * c + ch, max ? best : sum / static_cast<double>(positions));
      if (max) run.out(1).put(n * c + ch, static_cast<double>(position));
    }
}

void global_backward(const Run& run) {
  const Shape& s = run.in_shape(0);
  In g = run.result_gradient(), position = run.integer("max") ? run.saved(1) : In{};
  Gradient dx = run.gradient(0);
  int64_t c = s[3], positions = s[1] * s[2], at = 0;
  for (int64_t n = 0; n < s[0]; n++)
    for (int64_t i = 0; i < positions; i++)
      for (int64_t ch = 0; ch < c; ch++, at++) {
        double v = g[n * c + ch];
        if (!position) dx.put(at, v / static_cast<double>(positions));
        else dx.put(at, static_cast<int64_t>(position[n * c + ch]) == i ? v : 0);
      }
}

}  // namespace

void add_pool() {
  std::vector<AttributeDef> window = {{"kernel_h", 0, true}, {"kernel_w", 0, true}, {"stride_h"}, {"stride_w"}, {"pad_top"},
                                      {"pad_left"}, {"pad_bottom"}, {"pad_right"}, {"ceil_mode"}};
  OpDef max;
  max.name = "max_pool";
  max.inputs = {{"x"}};
  max.attributes = window;
  max.infer = max_infer;
  max.backward_reads = reads_positions;
  add_op(max, {max_forward, max_backward});

  OpDef avg;
  avg.name = "avg_pool";
  avg.inputs = {{"x"}};
  avg.attributes = window;
  avg.attributes.push_back({"count_include_pad", 1});
  avg.infer = avg_infer;
  avg.backward_reads = reads_nothing;
  add_op(avg, {avg_forward, avg_backward});

  OpDef global;
  global.name = "global_pool";
  global.inputs = {{"x", Role::Full}};
  global.attributes = {{"max"}, {"keep"}};
  global.infer = global_infer;
  global.backward_reads = global_reads;
  add_op(global, {global_forward, global_backward});
}

}  // namespace graft::reference
