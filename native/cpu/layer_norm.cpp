// layer_norm over the last axis.
#include "kernels.h"

namespace graft::cpu {

std::unique_ptr<Kernel> make_layer_norm(const Request& r) {
  if (!storable(r.inputs[0].dtype) || r.outputs[0].dtype != r.inputs[0].dtype || r.epilogue.any()) return nullptr;
  const Store type = store_of(r.inputs[0].dtype);
  const int64_t n = r.inputs[0].shape[-1], rows = r.inputs[0].count() / n;
  const bool weighted = r.call().has(1), biased = r.call().has(2), second = r.second_gradient;
  auto floats = [](void* p) { return static_cast<float*>(p); };
  if (r.pass == Pass::Forward) {
    const float eps = static_cast<float>(r.call().number("eps"));
    return own("layer_norm", 0, [=](const Args& a) {
      simd().layer_norm(type, a.in[0], weighted ? floats(a.in[1]) : nullptr, biased ? floats(a.in[2]) : nullptr, a.out[0], floats(a.out[1]),
                        floats(a.out[2]), rows, n, eps);
    });
  }
  if (mode_of(r, 0) == GradMode::Accumulate) return nullptr;
  const GradMode dx = mode_of(r, 0), dweight = mode_of(r, 1), dbias = mode_of(r, 2);
  const bool sums_wanted = dweight != GradMode::Ignore || dbias != GradMode::Ignore;
  size_t scratch = sums_wanted ? aligned(16 * n) + reduction_scratch(rows, n, 2) : 0;
  return own("layer_norm", scratch, [=](const Args& a) {
    void* dout2 = second ? a.dout2 : nullptr;
    if (sums_wanted) {
      Cut cut(a.scratch);
      double* sums = cut.take<double>(2 * n);
      simd().layer_norm_weights(type, a.dout, dout2, dweight != GradMode::Ignore ? a.in[0] : nullptr, floats(a.out[1]), floats(a.out[2]), rows, n, sums,
                                cut.rest());
      auto write = [&](float* gradient, GradMode mode, const double* values) {
        if (mode == GradMode::Ignore) return;
        for (int64_t i = 0; i < n; i++) gradient[i] = static_cast<float>(mode == GradMode::Accumulate ? gradient[i] + values[i] : values[i]);
      };
      write(floats(a.din[2]), dbias, sums);
      write(floats(a.din[1]), dweight, sums + n);
    }
    // Last: the gradient of x may lie on the result's gradient.
    if (dx != GradMode::Ignore)
      simd().layer_norm_data(type, a.dout, dout2, a.in[0], weighted ? floats(a.in[1]) : nullptr, floats(a.out[1]), floats(a.out[2]), a.din[0], rows, n);
  });
}

}  // namespace graft::cpu
