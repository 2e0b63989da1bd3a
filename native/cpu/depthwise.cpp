// Gradient of the source of a depthwise convolution (one filter a channel), where oneDNN has only a general implementation.
#include "depthwise.h"

#include "kernels.h"

namespace graft::cpu {

DepthwiseData::DepthwiseData(const Request& r) {
  const Shape &x = r.inputs[0].shape, &w = r.inputs[1].shape, &y = r.outputs[0].shape;
  OpCall c = r.call();
  window_.type = store_of(r.inputs[0].dtype);
  window_.batch = x[0];
  window_.height = x[1];
  window_.width = x[2];
  window_.channels = x[3];
  window_.out_height = y[1];
  window_.out_width = y[2];
  window_.kernel_h = w[1];
  window_.kernel_w = w[2];
  window_.stride_h = c.integer("stride_h");
  window_.stride_w = c.integer("stride_w");
  window_.pad_top = c.integer("pad_top");
  window_.pad_left = c.integer("pad_left");
  // [KH, KW, C]: channels side by side as in the activations.
  const int64_t channels = x[3], width = w[2];
  layout_ = strided_desc({channels, 1, 1, w[1], width}, r.compute, {1, channels, channels, width * channels, channels});
}

bool DepthwiseData::serves(const Request& r) {
  OpCall c = r.call();
  const int64_t channels = r.inputs[0].shape[3];
  return c.integer("groups") == channels && r.inputs[1].shape[0] == channels && c.integer("dilation_h") == 1 && c.integer("dilation_w") == 1 &&
         r.inputs[0].dtype == r.outputs[0].dtype && r.compute == r.inputs[0].dtype;
}

void DepthwiseData::run(const void* dout, const void* weight, void* dx) const { simd().depthwise_data(window_, dout, weight, dx); }

}  // namespace graft::cpu
