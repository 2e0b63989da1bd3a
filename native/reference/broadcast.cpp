// add, multiply: element by element with numpy's broadcasting. scale: factor * x + offset.
#include "reference.h"

namespace graft::reference {
namespace {

std::vector<TensorType> infer(const OpCall& call, const char* op) {
  require_float(call, 0, op, "a");
  require_float(call, 1, op, "b");
  const Shape &a = call.inputs[0].shape, &b = call.inputs[1].shape;
  TensorType y = call.inputs[0];
  y.shape.rank = std::max(a.rank, b.rank);
  for (int d = 1; d <= y.shape.rank; d++) {
    int64_t da = d <= a.rank ? a[-d] : 1, db = d <= b.rank ? b[-d] : 1;
    require(da == db || da == 1 || db == 1, op, ": axes must be equal or 1, counted from the last, got ", a.str(), " and ",
            b.str());
    y.shape[-d] = da == 1 ? db : da;
  }
  return {y};
}

std::vector<TensorType> add_infer(const OpCall& call) { return infer(call, "add"); }
std::vector<TensorType> multiply_infer(const OpCall& call) { return infer(call, "multiply"); }

OpDef::Reads multiply_reads(const OpCall& call, const std::vector<bool>& wanted) {
  OpDef::Reads reads = reads_nothing(call, wanted);
  reads.inputs[0] = wanted[1];
  reads.inputs[1] = wanted[0];
  return reads;
}

// Which element of an operand belongs to an element of the result.
struct Broadcast {
  Broadcast(const Shape& shape, const Shape& result) : result(result), same(shape == result) {
    int64_t stride = 1;
    for (int d = 1; d <= shape.rank; d++) {
      strides[result.rank - d] = shape[-d] == 1 ? 0 : stride;
      stride *= shape[-d];
    }
  }
  int64_t operator()(int64_t i) const {
    if (same) return i;
    int64_t at = 0;
    for (int d = result.rank - 1; d >= 0; d--) {
      at += i % result[d] * strides[d];
      i /= result[d];
    }
    return at;
  }
  const Shape& result;
  bool same;
  int64_t strides[kMaxRank] = {};
};

template <class Function>
void forward(const Run& run, Function function) {
  Broadcast at_a(run.in_shape(0), run.out_shape()), at_b(run.in_shape(1), run.out_shape());
  In a = run.in(0), b = run.in(1);
  Result y = run.result();
  for (int64_t i = 0; i < run.out_shape().count(); i++) y.put(i, function(a[at_a(i)], b[at_b(i)]));
}

// slope_a(b) and slope_b(a) are the partial derivatives. Each result's gradient is read before anything is written at its
// place, because a gradient may lie on it.
template <class SlopeA, class SlopeB>
void backward(const Run& run, SlopeA slope_a, SlopeB slope_b) {
  Broadcast at_a(run.in_shape(0), run.out_shape()), at_b(run.in_shape(1), run.out_shape());
  In g = run.result_gradient();
  Gradient da = run.gradient(0), db = run.gradient(1);
  double *sum_a = run.sums(), *sum_b = sum_a + run.in_shape(0).count();
  std::fill(sum_a, sum_b + run.in_shape(1).count(), 0.0);
  for (int64_t i = 0; i < run.out_shape().count(); i++) {
    int64_t ia = at_a(i), ib = at_b(i);
    if (da.wanted()) sum_a[ia] += g[i] * slope_a(ib);
    if (db.wanted()) sum_b[ib] += g[i] * slope_b(ia);
  }
  for (int64_t i = 0; i < run.in_shape(0).count(); i++) da.put(i, sum_a[i]);
  for (int64_t i = 0; i < run.in_shape(1).count(); i++) db.put(i, sum_b[i]);
}

void add_forward(const Run& run) {
  forward(run, [](double a, double b) { return a + b; });
}
void add_backward(const Run& run) {
  auto one = [](int64_t) { return 1.0; };
  backward(run, one, one);
}
void multiply_forward(const Run& run) {
  forward(run, [](double a, double b) { return a * b; });
}
void multiply_backward(const Run& run) {
  In a = run.in(0), b = run.in(1);
  backward(run, [&](int64_t i) { return b[i]; }, [&](int64_t i) { return a[i]; });
}
size_t sums(const Request& r) { return r.pass == Pass::Backward ? r.inputs[0].count() + r.inputs[1].count() : 0; }

std::vector<TensorType> scale_infer(const OpCall& call) {
  require_float(call, 0, "scale", "x");
  return {call.inputs[0]};
}
void scale_forward(const Run& run) {
  double factor = run.number("factor"), offset = run.number("offset");
  for (int64_t i = 0; i < run.out_shape().count(); i++) run.out(0).put(i, factor * run.in(0)[i] + offset);
}
void scale_backward(const Run& run) {
  double factor = run.number("factor");
  In g = run.result_gradient();
  for (int64_t i = 0; i < run.out_shape().count(); i++) run.gradient(0).put(i, factor * g[i]);
}

}  // namespace

void add_broadcast() {
  OpDef add;
  add.name = "add";
  add.inputs = {{"a"}, {"b"}};
  add.infer = add_infer;
  add.backward_reads = reads_nothing;
  add.pointwise = true;  // where input 0 has the result's shape
  add.passes_gradient = true;
  add_op(add, {add_forward, add_backward, sums, true});

  OpDef multiply;
  multiply.name = "multiply";
  multiply.inputs = {{"a"}, {"b"}};
  multiply.infer = multiply_infer;
  multiply.backward_reads = multiply_reads;
  multiply.pointwise = true;  // where input 0 has the result's shape
  add_op(multiply, {multiply_forward, multiply_backward, sums});

  OpDef scale;
  scale.name = "scale";
  scale.inputs = {{"x"}};
  scale.attributes = {{"factor", 1}, {"offset"}};
  scale.infer = scale_infer;
  scale.backward_reads = reads_nothing;
  scale.pointwise = true;
  add_op(scale, {scale_forward, scale_backward});
}

}  // namespace graft::reference
