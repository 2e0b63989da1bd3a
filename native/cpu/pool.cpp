// max_pool, avg_pool, global_pool (a window of the whole picture).
#include "kernels.h"

namespace graft::cpu {

std::unique_ptr<Kernel> make_pool(const Request& r) {
  const Shape &x = r.inputs[0].shape, &y = r.outputs[0].shape;
  if (!storable(r.inputs[0].dtype) || r.outputs[0].dtype != r.inputs[0].dtype || r.epilogue.any()) return nullptr;
  if (r.second_gradient || mode_of(r, 0) == GradMode::Accumulate) return nullptr;
  OpCall c = r.call();
  Window w{};
  w.type = store_of(r.inputs[0].dtype);
  w.batch = x[0];
  w.height = x[1];
  w.width = x[2];
  w.channels = x[3];
  bool max = r.name() == "max_pool";
  if (r.name() == "global_pool") {
    max = c.integer("max") != 0;
    w.out_height = w.out_width = w.stride_h = w.stride_w = 1;
    w.kernel_h = x[1];
    w.kernel_w = x[2];
  } else {
    w.out_height = y[1];
    w.out_width = y[2];
    w.kernel_h = c.integer("kernel_h");
    w.kernel_w = c.integer("kernel_w");
    w.stride_h = c.integer("stride_h") ? c.integer("stride_h") : w.kernel_h;
    w.stride_w = c.integer("stride_w") ? c.integer("stride_w") : w.kernel_w;
    w.pad_top = c.integer("pad_top");
    w.pad_left = c.integer("pad_left");
    w.pad_bottom = c.integer("pad_bottom");
    w.pad_right = c.integer("pad_right");
    w.count_padding = !max && c.integer("count_include_pad") != 0;
  }
  if (max) {
    w.wide_position = r.outputs.size() > 1 && r.outputs[1].dtype == DType::I32;
    if (r.pass == Pass::Forward) return own("max_pool", 0, [w](const Args& a) { simd().max_pool(w, a.in[0], a.out[0], a.out[1]); });
    return own("max_pool", 0, [w](const Args& a) { simd().max_pool_data(w, a.dout, a.out[1], a.din[0]); });
  }
  if (r.pass == Pass::Forward) return own("average_pool", 0, [w](const Args& a) { simd().average_pool(w, a.in[0], a.out[0]); });
  return own("average_pool", 0, [w](const Args& a) { simd().average_pool_data(w, a.dout, a.din[0]); });
}

}  // namespace graft::cpu
