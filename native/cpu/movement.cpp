// transpose, concat, slice, pad: bytes are moved as they are.
#include <cstring>

#include "kernels.h"
#include "onednn.h"

namespace graft::cpu {
namespace {

// A tensor around one axis, in bytes: [outer, size * inner].
struct Around {
  int64_t outer = 1, size, inner;
  Around(const TensorType& t, int axis) : size(t.shape[axis]), inner(static_cast<int64_t>(size_of(t.dtype))) {
    for (int d = 0; d < axis; d++) outer *= t.shape[d];
    for (int d = axis + 1; d < t.shape.rank; d++) inner *= t.shape[d];
  }
};

int axis_of(const Request& r) {
  int64_t axis = r.call().integer("axis");
  return static_cast<int>(axis < 0 ? axis + r.inputs[0].shape.rank : axis);
}

std::unique_ptr<Kernel> make_concat(const Request& r) {
  struct Part {
    int64_t bytes, begin;
    bool wanted;
  };
  int axis = axis_of(r);
  std::vector<Part> parts;
  int64_t step = 0;
  for (size_t i = 0; i < r.inputs.size(); i++) {
    Around x(r.inputs[i], axis);
    parts.push_back({x.size * x.inner, step, wants(r, i)});
    step += x.size * x.inner;
  }
  const int64_t outer = Around(r.outputs[0], axis).outer;
  const bool backward = r.pass == Pass::Backward;
  return own("concat", 0, [=](const Args& a) {
    for (size_t i = 0; i < parts.size(); i++) {
      const Part& p = parts[i];
      if (!backward) move_rows(outer, p.bytes, a.in[i], p.bytes, shifted(a.out[0], p.begin), step);
      else if (p.wanted) move_rows(outer, p.bytes, shifted(a.dout, p.begin), step, a.din[i], p.bytes);
    }
  });
}

std::unique_ptr<Kernel> make_slice(const Request& r) {
  int axis = axis_of(r);
  Around x(r.inputs[0], axis), y(r.outputs[0], axis);
  int64_t begin = r.call().integer("begin"), step = r.call().integer("step");
  if (begin < 0) begin += x.size;
  const bool backward = r.pass == Pass::Backward;
  const int64_t whole = x.size * x.inner, part = y.size * y.inner, first = begin * x.inner;
  return own("slice", 0, [=](const Args& a) {
    if (backward) simd().zero(a.din[0], x.outer * whole);
    // One move per position where they do not lie side by side.
    int64_t moves = step == 1 ? 1 : y.size, bytes = step == 1 ? part : x.inner;
    for (int64_t i = 0; i < moves; i++) {
      int64_t in_x = first + i * step * x.inner, in_y = i * x.inner;
      if (backward) move_rows(x.outer, bytes, shifted(a.dout, in_y), part, shifted(a.din[0], in_x), whole);
      else move_rows(x.outer, bytes, shifted(a.in[0], in_x), whole, shifted(a.out[0], in_y), part);
    }
  });
}

std::unique_ptr<Kernel> make_pad(const Request& r) {
  int axis = axis_of(r);
  Around x(r.inputs[0], axis), y(r.outputs[0], axis);
  const int64_t before = r.call().integer("before") * x.inner, part = x.size * x.inner, whole = y.size * y.inner;
  if (r.pass == Pass::Backward) return own("pad", 0, [=](const Args& a) { move_rows(x.outer, part, shifted(a.dout, before), whole, a.din[0], part); });
  return own("pad", 0, [=](const Args& a) {
    move_rows(x.outer, before, nullptr, 0, a.out[0], whole);
    move_rows(x.outer, part, a.in[0], part, shifted(a.out[0], before), whole);
    move_rows(x.outer, whole - before - part, nullptr, 0, shifted(a.out[0], before + part), whole);
  });
}

class Transpose : public PlainKernel {
 public:
  explicit Transpose(const Request& r) : backward_(r.pass == Pass::Backward) {
    const Shape &x = r.inputs[0].shape, &y = r.outputs[0].shape;
    static const char* const keys[] = {"axis0", "axis1", "axis2", "axis3", "axis4", "axis5", "axis6", "axis7"};
    Dims dims, strides;
    for (int d = 0; d < y.rank; d++) {
      int64_t axis = r.call().integer(keys[d]), stride = 1;
      if (axis < 0) axis += x.rank;
      for (int e = static_cast<int>(axis) + 1; e < x.rank; e++) stride *= x[e];
      dims.push_back(y[d]);
      strides.push_back(stride);
    }
    Desc source = strided_desc(dims, r.inputs[0].dtype, strides), result = plain_desc(y, r.outputs[0].dtype);
    move_ = backward_ ? prepared_reorder(result, source, false) : prepared_reorder(source, result, false);
  }
  void run(const Args& a) const override {
    if (backward_) move_->run({a.dout, a.din[0], a.scratch});
    else move_->run({a.in[0], a.out[0], a.scratch});
  }
  std::string name() const override { return "onednn:" + move_->implementation(); }
  size_t scratch_bytes() const override { return move_->scratch_bytes(); }

 private:
  bool backward_;
  std::unique_ptr<Prepared> move_;
};

}  // namespace

void move_rows(int64_t rows, int64_t bytes, const void* from, int64_t from_step, void* to, int64_t to_step) {
  const char* p = static_cast<const char*>(from);
  char* q = static_cast<char*>(to);
#pragma omp parallel for schedule(static) if (rows > 1 && rows * bytes > 65536)
  for (int64_t r = 0; r < rows; r++) {
    if (p) std::memcpy(q + r * to_step, p + r * from_step, bytes);
    else std::memset(q + r * to_step, 0, bytes);
  }
}

std::unique_ptr<Kernel> make_movement(const Request& r) {
  const std::string name = r.name();
  if (r.epilogue.any() || r.second_gradient) return nullptr;
  for (size_t i = 0; i < r.inputs.size(); i++)
    if (mode_of(r, i) == GradMode::Accumulate || r.inputs[i].dtype != r.outputs[0].dtype) return nullptr;
  if (name == "concat") return make_concat(r);
  if (name == "slice") return make_slice(r);
  if (name == "pad") return make_pad(r);
  if (name == "reshape") {
    const int64_t bytes = static_cast<int64_t>(r.outputs[0].bytes());
    if (r.pass == Pass::Forward) return own("copy", 0, [=](const Args& a) { simd().copy(a.in[0], a.out[0], bytes); });
    return own("copy", 0, [=](const Args& a) { simd().copy(a.dout, a.din[0], bytes); });
  }
  if (!storable(r.outputs[0].dtype)) return nullptr;
  return std::make_unique<Transpose>(r);
}

}  // namespace graft::cpu
