// linear: y[M,N] = x[M,K] w[N,K]^T + b, over the last axis of x.
#include "kernels.h"
#include "weight.h"

namespace graft::cpu {
namespace {

using dnnl::matmul;

struct Sizes {
  int64_t m, n, k;
  explicit Sizes(const Request& r) : n(r.inputs[1].shape[0]), k(r.inputs[1].shape[1]) { m = r.inputs[0].count() / k; }
};

class LinearForward : public Kernel {
 public:
  explicit LinearForward(const Request& r) {
    Sizes z(r);
    Desc x = plain_desc({z.m, z.k}, r.inputs[0].dtype), y = plain_desc({z.m, z.n}, r.outputs[0].dtype), bias = plain_desc({1, z.n}, DType::F32);
    dnnl::primitive_attr attributes = caller_scratch();
    dnnl::post_ops ops;
    int residual = append_epilogue(ops, r.epilogue, y);
    attributes.set_post_ops(ops);
    bias_ = r.call().has(2);
    residual_ = residual >= 0;
    Desc any = any_desc({z.k, z.n}, r.compute);
    matmul::primitive_desc description = bias_ ? matmul::primitive_desc(engine(), x, any, bias, y, attributes)
                                               : matmul::primitive_desc(engine(), x, any, y, attributes);
    std::vector<Prepared::Slot> slots{{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, description.weights_desc()}, {DNNL_ARG_DST, y}};
    if (bias_) slots.push_back({DNNL_ARG_BIAS, bias});
    if (residual_) slots.push_back({residual_argument(residual), y});
    product_ = prepared<matmul::primitive_desc, matmul>(description, std::move(slots));
    weight_ = std::make_unique<WeightOperand>(r, WeightForm::Columns, description.weights_desc());
  }
  void run(const Args& a) const override {
    char* scratch = static_cast<char*>(a.scratch);
    void* w = weight_->bring(a.in[1], scratch);
    void* pad = scratch + weight_->scratch_bytes();
    if (bias_ && residual_) product_->run({a.in[0], w, a.out[0], a.in[2], a.residual, pad});
    else if (bias_) product_->run({a.in[0], w, a.out[0], a.in[2], pad});
    else if (residual_) product_->run({a.in[0], w, a.out[0], a.residual, pad});
    else product_->run({a.in[0], w, a.out[0], pad});
  }
  std::string name() const override { return "onednn:" + product_->implementation(); }
  size_t scratch_bytes() const override { return weight_->scratch_bytes() + product_->scratch_bytes(); }
  PackSpec pack(size_t i) const override { return i == 1 ? weight_->pack() : PackSpec{}; }

 private:
  bool bias_ = false, residual_ = false;
  std::unique_ptr<Prepared> product_;
  std::unique_ptr<WeightOperand> weight_;
};

class LinearBackward : public Kernel {
 public:
  explicit LinearBackward(const Request& r) : sizes_(r), dbias_(mode_of(r, 2)), result_type_(r.outputs[0].dtype) {
    const Sizes& z = sizes_;
    Desc g = plain_desc({z.m, z.n}, result_type_);
    if (wants(r, 0)) {
      Desc dx = plain_desc({z.m, z.k}, r.inputs[0].dtype);
      matmul::primitive_desc description(engine(), g, any_desc({z.n, z.k}, r.compute), dx, caller_scratch());
      data_ = prepared<matmul::primitive_desc, matmul>(description, {{DNNL_ARG_SRC, g}, {DNNL_ARG_WEIGHTS, description.weights_desc()}, {DNNL_ARG_DST, dx}});
      weight_ = std::make_unique<WeightOperand>(r, WeightForm::Rows, description.weights_desc(), z.m);
    }
    if (wants(r, 1)) {
      Desc gt = strided_desc({z.n, z.m}, result_type_, {1, z.n}), x = plain_desc({z.m, z.k}, r.inputs[0].dtype), dw = plain_desc({z.n, z.k}, DType::F32);
      dnnl::primitive_attr attributes = caller_scratch();
      if (mode_of(r, 1) == GradMode::Accumulate) {
        dnnl::post_ops ops;
        ops.append_sum(1.0f);
        attributes.set_post_ops(ops);
      }
      matmul::primitive_desc description(engine(), gt, x, dw, attributes);
      gradient_ = prepared<matmul::primitive_desc, matmul>(description, {{DNNL_ARG_SRC, gt}, {DNNL_ARG_WEIGHTS, x}, {DNNL_ARG_DST, dw}});
    }
  }
  void run(const Args& a) const override {
    char* scratch = static_cast<char*>(a.scratch);
    if (gradient_) gradient_->run({a.dout, a.in[0], a.din[1], scratch});
    if (dbias_ != GradMode::Ignore)
      simd().column_sums(store_of(result_type_), a.dout, sizes_.m, sizes_.n, static_cast<float*>(a.din[2]), dbias_ == GradMode::Accumulate, scratch);
    if (data_) {
      void* w = weight_->bring(a.in[1], scratch);
      data_->run({a.dout, w, a.din[0], scratch + weight_->scratch_bytes()});
    }
  }
  std::string name() const override {
    if (!data_ && !gradient_) return text("own:column_sums:", simd().name);
    std::string s = "onednn";
    if (data_) s += ":" + data_->implementation();
    if (gradient_) s += ":" + gradient_->implementation();
    return s;
  }
  size_t scratch_bytes() const override {
    size_t bytes = dbias_ != GradMode::Ignore ? column_sums_scratch(sizes_.m, sizes_.n) : 0;
    if (gradient_) bytes = std::max(bytes, gradient_->scratch_bytes());
    if (data_) bytes = std::max(bytes, weight_->scratch_bytes() + data_->scratch_bytes());
    return bytes;
  }
  PackSpec pack(size_t i) const override { return i == 1 && weight_ ? weight_->pack() : PackSpec{}; }

 private:
  Sizes sizes_;
  GradMode dbias_;
  DType result_type_;
  std::unique_ptr<Prepared> data_, gradient_;
  std::unique_ptr<WeightOperand> weight_;
};

}  // namespace

std::unique_ptr<Kernel> make_linear(const Request& r) {
  if (!storable(r.inputs[0].dtype) || !storable(r.compute) || !storable(r.outputs[0].dtype)) return nullptr;
  if (r.pass == Pass::Forward) return std::make_unique<LinearForward>(r);
  if (r.second_gradient || r.epilogue.any() || mode_of(r, 0) == GradMode::Accumulate) return nullptr;
  return std::make_unique<LinearBackward>(r);
}

}  // namespace graft::cpu
