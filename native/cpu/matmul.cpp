// matmul: y = factor * op(a) op(b), batched over the leading axes.
#include "kernels.h"
#include "onednn.h"

namespace graft::cpu {
namespace {

using dnnl::matmul;

// An operand as the product sees it: leading axes filled up with 1, the last two swapped where `swapped`.
Desc view(const Shape& shape, int rank, bool swapped, DType type) {
  Dims dims(rank, 1), strides(rank, 1);
  int64_t stride = 1;
  for (int d = rank - 1; d >= 0; d--) {
    int own = d - (rank - shape.rank);
    if (own >= 0) dims[d] = shape[own];
    strides[d] = stride;
    stride *= dims[d];
  }
  if (swapped) {
    std::swap(dims[rank - 1], dims[rank - 2]);
    std::swap(strides[rank - 1], strides[rank - 2]);
  }
  return strided_desc(dims, type, strides);
}

std::unique_ptr<Prepared> product(const Desc& left, const Desc& right, const Desc& result, float factor, bool accumulate) {
  dnnl::primitive_attr attributes = caller_scratch();
  dnnl::post_ops ops;
  if (factor != 1) ops.append_eltwise(dnnl::algorithm::eltwise_linear, factor, 0);
  if (accumulate) ops.append_sum(1.0f);
  attributes.set_post_ops(ops);
  matmul::primitive_desc description(engine(), left, right, result, attributes);
  return prepared<matmul::primitive_desc, matmul>(description, {{DNNL_ARG_SRC, left}, {DNNL_ARG_WEIGHTS, right}, {DNNL_ARG_DST, result}});
}

class Matmul : public PlainKernel {
 public:
  explicit Matmul(const Request& r) : backward_(r.pass == Pass::Backward) {
    const Shape &a = r.inputs[0].shape, &b = r.inputs[1].shape, &y = r.outputs[0].shape;
    const bool ta = r.call().integer("transpose_a") != 0, tb = r.call().integer("transpose_b") != 0;
    const float factor = static_cast<float>(r.call().number("factor"));
    auto of_a = [&](bool swapped) { return view(a, y.rank, swapped, r.inputs[0].dtype); };
    auto of_b = [&](bool swapped) { return view(b, y.rank, swapped, r.inputs[1].dtype); };
    auto of_y = [&](bool swapped) { return view(y, y.rank, swapped, r.outputs[0].dtype); };
    if (!backward_) {
      forward_ = product(of_a(ta), of_b(tb), of_y(false), factor, false);
      return;
    }
    // Each gradient is written row-major as its operand lies: of a transposed operand the product's transpose is taken.
    left_first_ = !ta;
    right_first_ = tb;
    if (wants(r, 0)) {
      bool add = mode_of(r, 0) == GradMode::Accumulate;
      left_ = ta ? product(of_b(tb), of_y(true), of_a(false), factor, add) : product(of_y(false), of_b(!tb), of_a(false), factor, add);
    }
    if (wants(r, 1)) {
      bool add = mode_of(r, 1) == GradMode::Accumulate;
      right_ = tb ? product(of_y(true), of_a(ta), of_b(false), factor, add) : product(of_a(!ta), of_y(false), of_b(false), factor, add);
    }
  }
  void run(const Args& a) const override {
    if (!backward_) return forward_->run({a.in[0], a.in[1], a.out[0], a.scratch});
    if (left_) left_first_ ? left_->run({a.dout, a.in[1], a.din[0], a.scratch}) : left_->run({a.in[1], a.dout, a.din[0], a.scratch});
    if (right_) right_first_ ? right_->run({a.dout, a.in[0], a.din[1], a.scratch}) : right_->run({a.in[0], a.dout, a.din[1], a.scratch});
  }
  std::string name() const override {
    std::string s = "onednn";
    for (const auto* p : {&forward_, &left_, &right_})
      if (*p) s += ":" + (*p)->implementation();
    return s;
  }
  size_t scratch_bytes() const override {
    size_t bytes = 0;
    for (const auto* p : {&forward_, &left_, &right_})
      if (*p) bytes = std::max(bytes, (*p)->scratch_bytes());
    return bytes;
  }

 private:
  bool backward_, left_first_ = false, right_first_ = false;  // whether the result's gradient is the left factor
  std::unique_ptr<Prepared> forward_, left_, right_;
};

}  // namespace

std::unique_ptr<Kernel> make_matmul(const Request& r) {
  const Shape &a = r.inputs[0].shape, &b = r.inputs[1].shape, &y = r.outputs[0].shape;
  if (!storable(r.inputs[0].dtype) || r.inputs[0].dtype != r.inputs[1].dtype || !storable(r.outputs[0].dtype)) return nullptr;
  if (r.second_gradient || r.epilogue.any()) return nullptr;
  // A gradient summed over the batches that share a matrix is the fallback's.
  auto batched = [&](const Shape& s) { return s.count() / (s[-1] * s[-2]) == y.count() / (y[-1] * y[-2]); };
  if (r.pass == Pass::Backward && ((wants(r, 0) && !batched(a)) || (wants(r, 1) && !batched(b)))) return nullptr;
  return std::make_unique<Matmul>(r);
}

}  // namespace graft::cpu
