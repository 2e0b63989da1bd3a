// Operations that only move elements: reshape, transpose, concat, slice, pad.
#include "reference.h"

namespace graft::reference {
namespace {

// A tensor seen around one axis: [outer, size, inner].
struct Around {
  Around(const Shape& shape, int axis) : size(shape[axis]) {
    for (int d = 0; d < axis; d++) outer *= shape[d];
    for (int d = axis + 1; d < shape.rank; d++) inner *= shape[d];
  }
  int64_t at(int64_t o, int64_t i, int64_t k) const { return (o * size + i) * inner + k; }
  int64_t outer = 1, size, inner = 1;
};

int run_axis(const Run& run) {
  int64_t axis = run.integer("axis");
  return static_cast<int>(axis < 0 ? axis + run.in_shape(0).rank : axis);
}

// reshape

std::vector<TensorType> reshape_infer(const OpCall& call) {
  const Shape& x = call.inputs[0].shape;
  int64_t rank = call.integer("rank");
  require(rank >= 1 && rank <= kMaxRank, "reshape: rank must lie in 1..", kMaxRank, ", got ", rank);
  TensorType y = call.inputs[0];
  y.shape.rank = static_cast<int>(rank);
  int open = -1;
  int64_t known = 1;
  for (int d = 0; d < rank; d++) {
    std::string key = "d" + std::to_string(d);
    int64_t size = call.integer(key.c_str());
    require(size >= -1, "reshape: ", key, " must be a size, 0 (as x) or -1 (the rest), got ", size);
    require(size != 0 || d < x.rank, "reshape: ", key, " = 0 copies axis ", d, " of x, but x is ", x.str());
    require(size != -1 || open < 0, "reshape: at most one of d0.. may be -1, got d", open, " and ", key);
    if (size == 0) size = x[d];
    if (size == -1) open = d;
    else known *= size;
    y.shape[d] = size;
  }
  if (open >= 0) {
    require(known > 0 && x.count() % known == 0, "reshape: the ", x.count(), " elements of x ", x.str(),
            " cannot be divided by ", known);
    y.shape[open] = x.count() / known;
  }
  require(y.count() == x.count(), "reshape: x ", x.str(), " has ", x.count(), " elements, ", y.shape.str(), " has ",
          y.count());
  return {y};
}

void copy_forward(const Run& run) {
  In x = run.in(0);
  for (int64_t i = 0; i < run.out_shape().count(); i++) run.out(0).put(i, x[i]);
}

void copy_backward(const Run& run) {
  In g = run.result_gradient();
  for (int64_t i = 0; i < run.out_shape().count(); i++) run.gradient(0).put(i, g[i]);
}

// transpose: y's axis d is x's axis axis<d>.

constexpr const char* kAxisKeys[] = {"axis0", "axis1", "axis2", "axis3", "axis4", "axis5", "axis6", "axis7"};

std::vector<TensorType> transpose_infer(const OpCall& call) {
  const Shape& x = call.inputs[0].shape;
  TensorType y = call.inputs[0];
  bool seen[kMaxRank] = {};
  for (int d = 0; d < x.rank; d++) {
    int axis = axis_of(call, "transpose", kAxisKeys[d], x.rank);
    require(!seen[axis], "transpose: axis ", axis, " of x ", x.str(), " is named twice");
    seen[axis] = true;
    y.shape[d] = x[axis];
  }
  return {y};
}

// Position in x of element i of the result.
struct Transposed {
  explicit Transposed(const Run& run) : result(run.out_shape()) {
    const Shape& x = run.in_shape(0);
    for (int d = 0; d < x.rank; d++) {
      int64_t axis = run.integer(kAxisKeys[d]);
      if (axis < 0) axis += x.rank;
      strides[d] = 1;
      for (int64_t e = axis + 1; e < x.rank; e++) strides[d] *= x[static_cast<int>(e)];
    }
  }
  int64_t operator()(int64_t i) const {
    int64_t at = 0;
    for (int d = result.rank - 1; d >= 0; d--) {
      at += i % result[d] * strides[d];
      i /= result[d];
    }
    return at;
  }
  const Shape& result;
  int64_t strides[kMaxRank] = {};
};

void transpose_forward(const Run& run) {
  Transposed at(run);
  for (int64_t i = 0; i < run.out_shape().count(); i++) run.out(0).put(i, run.in(0)[at(i)]);
}

void transpose_backward(const Run& run) {
  Transposed at(run);
  In g = run.result_gradient();
  for (int64_t i = 0; i < run.out_shape().count(); i++) run.gradient(0).put(at(i), g[i]);
}

// concat

std::vector<TensorType> concat_infer(const OpCall& call) {
  TensorType y = call.inputs[0];
  int axis = axis_of(call, "concat", "axis", y.shape.rank);
  for (size_t i = 1; i < call.inputs.size(); i++) {
    Shape x = call.inputs[i].shape, expected = y.shape;
    if (x.rank == expected.rank) expected[axis] = x[axis];
    require(x == expected, "concat: input ", i, " is ", x.str(), ", but input 0 is ", call.inputs[0].shape.str(),
            ": they may differ in axis ", axis, " alone");
    require(call.inputs[i].dtype == y.dtype, "concat: input ", i, " is ", name_of(call.inputs[i].dtype), ", input 0 is ",
            name_of(y.dtype));
    y.shape[axis] += x[axis];
  }
  return {y};
}

// Calls visit(input, element of the input, element of the result) for all.
template <class Visit>
void over_concat(const Run& run, Visit visit) {
  int axis = run_axis(run);
  Around y(run.out_shape(), axis);
  int64_t begin = 0;
  for (size_t input = 0; input < run.request.inputs.size(); input++) {
    Around x(run.in_shape(input), axis);
    for (int64_t o = 0; o < x.outer; o++)
      for (int64_t i = 0; i < x.size; i++)
        for (int64_t k = 0; k < x.inner; k++) visit(input, x.at(o, i, k), y.at(o, begin + i, k));
    begin += x.size;
  }
}

void concat_forward(const Run& run) {
  over_concat(run, [&](size_t input, int64_t x, int64_t y) { run.out(0).put(y, run.in(input)[x]); });
}

void concat_backward(const Run& run) {
  In g = run.result_gradient();
  over_concat(run, [&](size_t input, int64_t x, int64_t y) { run.gradient(input).put(x, g[y]); });
}

// slice: elements begin, begin + step, ... below end of one axis.

constexpr double kToTheEnd = 9007199254740992.0;  // 2^53, beyond any size

struct Range {
  int axis;
  int64_t begin, end, step;
};

template <class Source>
Range range_of(const Source& source, int axis, int64_t size) {
  Range r{axis, source.integer("begin"), source.integer("end"), source.integer("step")};
  if (r.begin < 0) r.begin += size;
  if (r.end < 0) r.end += size;
  if (r.end == static_cast<int64_t>(kToTheEnd)) r.end = size;
  return r;
}

std::vector<TensorType> slice_infer(const OpCall& call) {
  const Shape& x = call.inputs[0].shape;
  int axis = axis_of(call, "slice", "axis", x.rank);
  Range r = range_of(call, axis, x[axis]);
  require(r.step >= 1, "slice: step must be at least 1, got ", r.step);
  require(0 <= r.begin && r.begin < r.end && r.end <= x[axis], "slice: begin..end must be a part of the ", x[axis],
          " positions of axis ", axis, " of x ", x.str(), ", got ", r.begin, "..", r.end);
  TensorType y = call.inputs[0];
  y.shape[axis] = (r.end - r.begin + r.step - 1) / r.step;
  return {y};
}

void slice_forward(const Run& run) {
  int axis = run_axis(run);
  Around x(run.in_shape(0), axis), y(run.out_shape(), axis);
  Range r = range_of(run, axis, x.size);
  for (int64_t o = 0; o < y.outer; o++)
    for (int64_t i = 0; i < y.size; i++)
      for (int64_t k = 0; k < y.inner; k++) run.out(0).put(y.at(o, i, k), run.in(0)[x.at(o, r.begin + i * r.step, k)]);
}

void slice_backward(const Run& run) {
  int axis = run_axis(run);
  Around x(run.in_shape(0), axis), y(run.out_shape(), axis);
  Range r = range_of(run, axis, x.size);
  In g = run.result_gradient();
  for (int64_t o = 0; o < x.outer; o++)
    for (int64_t i = 0; i < x.size; i++)
      for (int64_t k = 0; k < x.inner; k++) {
        bool taken = i >= r.begin && i < r.end && (i - r.begin) % r.step == 0;
        run.gradient(0).put(x.at(o, i, k), taken ? g[y.at(o, (i - r.begin) / r.step, k)] : 0);
      }
}

// pad: zeros before and after one axis.

std::vector<TensorType> pad_infer(const OpCall& call) {
  TensorType y = call.inputs[0];
  int axis = axis_of(call, "pad", "axis", y.shape.rank);
  int64_t before = call.integer("before"), after = call.integer("after");
  require(before >= 0 && after >= 0, "pad: before and after must not be negative, got ", before, " and ", after);
  y.shape[axis] += before + after;
  return {y};
}

void pad_forward(const Run& run) {
  int axis = run_axis(run);
  Around x(run.in_shape(0), axis), y(run.out_shape(), axis);
  int64_t before = run.integer("before");
  for (int64_t o = 0; o < y.outer; o++)
    for (int64_t i = 0; i < y.size; i++)
      for (int64_t k = 0; k < y.inner; k++) {
        bool inside = i >= before && i < before + x.size;
        run.out(0).put(y.at(o, i, k), inside ? run.in(0)[x.at(o, i - before, k)] : 0);
      }
}

void pad_backward(const Run& run) {
  int axis = run_axis(run);
  Around x(run.in_shape(0), axis), y(run.out_shape(), axis);
  int64_t before = run.integer("before");
  In g = run.result_gradient();
  for (int64_t o = 0; o < x.outer; o++)
    for (int64_t i = 0; i < x.size; i++)
      for (int64_t k = 0; k < x.inner; k++) run.gradient(0).put(x.at(o, i, k), g[y.at(o, before + i, k)]);
}

OpDef definition(const char* name, std::vector<AttributeDef> attributes, std::vector<TensorType> (*infer)(const OpCall&)) {
  OpDef def;
  def.name = name;
  def.inputs = {{"x"}};
  def.attributes = std::move(attributes);
  def.infer = infer;
  def.backward_reads = reads_nothing;
  return def;
}

}  // namespace

void add_movement() {
  OpDef reshape = definition("reshape", {{"rank", 0, true}, {"d0"}, {"d1"}, {"d2"}, {"d3"}, {"d4"}, {"d5"}, {"d6"}, {"d7"}},
                             reshape_infer);
  reshape.view = true;
  add_op(reshape, {copy_forward, copy_backward});

  std::vector<AttributeDef> order;
  for (int d = 0; d < kMaxRank; d++) order.push_back({kAxisKeys[d], static_cast<double>(d)});
  add_op(definition("transpose", order, transpose_infer), {transpose_forward, transpose_backward});

  OpDef concat = definition("concat", {{"axis", 0, true}}, concat_infer);
  concat.inputs[0].variadic = true;
  add_op(concat, {concat_forward, concat_backward});

  add_op(definition("slice", {{"axis", 0, true}, {"begin"}, {"end", kToTheEnd}, {"step", 1}}, slice_infer),
         {slice_forward, slice_backward});
  add_op(definition("pad", {{"axis", 0, true}, {"before"}, {"after"}}, pad_infer), {pad_forward, pad_backward});
}

}  // namespace graft::reference
