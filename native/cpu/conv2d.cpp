// conv2d: x NHWC, weight OHWI. Primitives run on dense NHWC; weights lie as the implementation wants them.
#include "depthwise.h"
#include "kernels.h"
#include "weight.h"

namespace graft::cpu {
namespace {

using dnnl::algorithm;
using dnnl::convolution_backward_data;
using dnnl::convolution_backward_weights;
using dnnl::convolution_forward;

struct Geometry {
  Dims source, result, weights, stride, dilation, low, high;
  Desc source_desc, result_desc;
  int64_t outputs;

  Geometry(const Request& r, DType source_type, DType result_type) {
    OpCall c = r.call();
    const Shape& x = r.inputs[0].shape;
    const Shape& w = r.inputs[1].shape;
    const Shape& y = r.outputs[0].shape;
    int64_t groups = c.integer("groups");
    outputs = w[0];
    source = {x[0], x[3], x[1], x[2]};
    result = {y[0], y[3], y[1], y[2]};
    weights = {w[0], w[3], w[1], w[2]};
    if (groups > 1) weights = {groups, w[0] / groups, w[3], w[1], w[2]};
    stride = {c.integer("stride_h"), c.integer("stride_w")};
    dilation = {c.integer("dilation_h") - 1, c.integer("dilation_w") - 1};
    low = {c.integer("pad_top"), c.integer("pad_left")};
    high = {c.integer("pad_bottom"), c.integer("pad_right")};
    source_desc = nhwc(source, source_type);
    result_desc = nhwc(result, result_type);
  }
  static Desc nhwc(const Dims& d, DType type) {
    return strided_desc(d, type, {d[1] * d[2] * d[3], 1, d[3] * d[1], d[1]});
  }
};

convolution_forward::primitive_desc forward_desc(const Geometry& g, const Desc& weights, bool bias, const dnnl::primitive_attr& attributes,
                                                 bool training) {
  auto kind = training ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
  if (bias)
    return {engine(), kind, algorithm::convolution_direct, g.source_desc, weights, plain_desc({g.outputs}, DType::F32), g.result_desc,
            g.stride, g.dilation, g.low, g.high, attributes};
  return {engine(), kind, algorithm::convolution_direct, g.source_desc, weights, g.result_desc, g.stride, g.dilation, g.low, g.high, attributes};
}

class Conv2dForward : public Kernel {
 public:
  explicit Conv2dForward(const Request& r) {
    Geometry g(r, r.inputs[0].dtype, r.outputs[0].dtype);
    dnnl::primitive_attr attributes = caller_scratch();
    dnnl::post_ops ops;
    int residual = append_epilogue(ops, r.epilogue, g.result_desc);
    attributes.set_post_ops(ops);
    bias_ = r.call().has(2);
    auto description = forward_desc(g, any_desc(g.weights, r.compute), bias_, attributes, false);
    std::vector<Prepared::Slot> slots{{DNNL_ARG_SRC, g.source_desc}, {DNNL_ARG_WEIGHTS, description.weights_desc()}, {DNNL_ARG_DST, g.result_desc}};
    if (bias_) slots.push_back({DNNL_ARG_BIAS, plain_desc({g.outputs}, DType::F32)});
    if (residual >= 0) slots.push_back({residual_argument(residual), g.result_desc});
    residual_ = residual >= 0;
    conv_ = prepared<convolution_forward::primitive_desc, convolution_forward>(description, std::move(slots));
    weights_ = std::make_unique<WeightOperand>(r, WeightForm::Filter, description.weights_desc());
  }
  void run(const Args& a) const override {
    char* scratch = static_cast<char*>(a.scratch);
    void* w = weights_->bring(a.in[1], scratch);
    void* pad = scratch + weights_->scratch_bytes();
    if (bias_ && residual_) conv_->run({a.in[0], w, a.out[0], a.in[2], a.residual, pad});
    else if (bias_) conv_->run({a.in[0], w, a.out[0], a.in[2], pad});
    else if (residual_) conv_->run({a.in[0], w, a.out[0], a.residual, pad});
    else conv_->run({a.in[0], w, a.out[0], pad});
  }
  std::string name() const override { return "onednn:" + conv_->implementation(); }
  size_t scratch_bytes() const override { return weights_->scratch_bytes() + conv_->scratch_bytes(); }
  PackSpec pack(size_t i) const override { return i == 1 ? weights_->pack() : PackSpec{}; }

 private:
  bool bias_ = false, residual_ = false;
  std::unique_ptr<Prepared> conv_;
  std::unique_ptr<WeightOperand> weights_;
};

class Conv2dBackward : public Kernel {
 public:
  explicit Conv2dBackward(const Request& r) : modes_(r.modes) {
    DType type = r.compute;
    Geometry g(r, r.inputs[0].dtype, r.outputs[0].dtype);
    Desc any = any_desc(g.weights, type);
    auto hint = forward_desc(g, any, false, caller_scratch(), true);
    modes_.resize(3, GradMode::Ignore);
    rows_ = r.outputs[0].count() / g.outputs;
    outputs_ = g.outputs;
    result_type_ = r.outputs[0].dtype;
    if (modes_[0] != GradMode::Ignore) prepare_data(r, g, any, hint);
    if (modes_[1] != GradMode::Ignore) prepare_weights(r, g, hint);
  }

  void run(const Args& a) const override {
    char* scratch = static_cast<char*>(a.scratch);
    // The weights' gradient comes first: the gradient of the source may be written over the result's.
    if (gradient_) {
      char* pad = scratch + packed_bytes_;
      void* dw = collect_ ? scratch : a.din[1];
      if (bias_) gradient_->run({a.in[0], a.dout, dw, a.din[2], pad});
      else gradient_->run({a.in[0], a.dout, dw, pad});
      if (collect_) collect_->run({scratch, a.din[1], pad});
    }
    if (modes_[2] != GradMode::Ignore && !bias_)
      simd().column_sums(store_of(result_type_), a.dout, rows_, outputs_, static_cast<float*>(a.din[2]), modes_[2] == GradMode::Accumulate, scratch);
    if (!weights_) return;
    void* w = weights_->bring(a.in[1], scratch);
    if (depthwise_) depthwise_->run(a.dout, w, a.din[0]);
    else data_->run({a.dout, w, a.din[0], scratch + weights_->scratch_bytes()});
  }
  std::string name() const override {
    std::string s = data_ || gradient_ ? "onednn" : "own";
    if (depthwise_) s += text(":depthwise:", simd().name);
    if (data_) s += ":" + data_->implementation();
    if (gradient_) s += ":" + gradient_->implementation();
    return s;
  }
  size_t scratch_bytes() const override {
    size_t bytes = 0;
    if (weights_) bytes = weights_->scratch_bytes() + (data_ ? data_->scratch_bytes() : 0);
    if (gradient_) {
      size_t pads = gradient_->scratch_bytes();
      if (collect_) pads = std::max(pads, collect_->scratch_bytes());
      bytes = std::max(bytes, packed_bytes_ + pads);
    }
    if (modes_[2] != GradMode::Ignore && !bias_) bytes = std::max(bytes, column_sums_scratch(rows_, outputs_));
    return bytes;
  }
  PackSpec pack(size_t i) const override { return i == 1 && weights_ ? weights_->pack() : PackSpec{}; }

 private:
  void prepare_data(const Request& r, const Geometry& g, const Desc& any, const convolution_forward::primitive_desc& hint) {
    auto describe = [&](const Desc& weights) {
      return convolution_backward_data::primitive_desc(engine(), algorithm::convolution_direct, g.source_desc, weights, g.result_desc, g.stride,
                                                       g.dilation, g.low, g.high, hint, caller_scratch());
    };
    auto description = describe(any);
    // oneDNN's bf16 depthwise kernel takes no stride: its general one is slower than this by a factor of 30.
    if (DepthwiseData::serves(r) && std::string(description.impl_info_str()).find("dw") == std::string::npos) {
      depthwise_ = std::make_unique<DepthwiseData>(r);
      weights_ = std::make_unique<WeightOperand>(r, WeightForm::Filter, depthwise_->layout());
      return;
    }
    const std::string existing = r.preferred.size() > 1 ? r.preferred[1].layout : "";
    if (r.weights_may_pack && existing.compare(0, 7, "filter:") == 0) {
      // The forward pass's layout serves too if the same kind of implementation takes it: the weight is then held once.
      try {
        auto shared = describe(read_layout(existing).desc);
        if (std::string(shared.impl_info_str()) == description.impl_info_str()) description = shared;
      } catch (const dnnl::error&) {
      }
    }
    data_ = prepared<convolution_backward_data::primitive_desc, convolution_backward_data>(
        description, {{DNNL_ARG_DIFF_DST, g.result_desc}, {DNNL_ARG_WEIGHTS, description.weights_desc()}, {DNNL_ARG_DIFF_SRC, g.source_desc}});
    weights_ = std::make_unique<WeightOperand>(r, WeightForm::Filter, description.weights_desc());
  }

  void prepare_weights(const Request& r, const Geometry& g, const convolution_forward::primitive_desc& hint) {
    Desc any = any_desc(g.weights, DType::F32), bias = plain_desc({g.outputs}, DType::F32);
    bias_ = modes_[2] == GradMode::Overwrite;
    using Description = convolution_backward_weights::primitive_desc;
    Description description =
        bias_ ? Description(engine(), algorithm::convolution_direct, g.source_desc, any, bias, g.result_desc, g.stride, g.dilation, g.low, g.high,
                            hint, caller_scratch())
              : Description(engine(), algorithm::convolution_direct, g.source_desc, any, g.result_desc, g.stride, g.dilation, g.low, g.high, hint,
                            caller_scratch());
    Desc packed = description.diff_weights_desc();
    std::vector<Prepared::Slot> slots{{DNNL_ARG_SRC, g.source_desc}, {DNNL_ARG_DIFF_DST, g.result_desc}, {DNNL_ARG_DIFF_WEIGHTS, packed}};
    if (bias_) slots.push_back({DNNL_ARG_DIFF_BIAS, bias});
    gradient_ = prepared<Description, convolution_backward_weights>(description, std::move(slots));
    Desc plain = plain_view(r.inputs[1].shape, DType::F32, WeightForm::Filter, packed);
    bool accumulate = modes_[1] == GradMode::Accumulate;
    if (plain == packed && !accumulate) return;
    collect_ = prepared_reorder(packed, plain, accumulate);
    packed_bytes_ = aligned(packed.get_size());
  }

  std::vector<GradMode> modes_;
  int64_t rows_ = 0, outputs_ = 0;
  DType result_type_ = DType::F32;
  std::unique_ptr<Prepared> data_, gradient_, collect_;
  std::unique_ptr<DepthwiseData> depthwise_;
  std::unique_ptr<WeightOperand> weights_;
  bool bias_ = false;
  size_t packed_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d(const Request& r) {
  if (!storable(r.inputs[0].dtype) || !storable(r.compute) || !storable(r.outputs[0].dtype)) return nullptr;
  if (r.pass == Pass::Forward) return std::make_unique<Conv2dForward>(r);
  if (r.second_gradient || r.epilogue.any() || mode_of(r, 0) == GradMode::Accumulate) return nullptr;
  return std::make_unique<Conv2dBackward>(r);
}

}  // namespace graft::cpu
