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
  // A bias alone needs neither x nor statistics, which backward then is not given.
  if (dx == GradMode::Ignore && dweight == GradMode::Ignore) {
    if (!sums_wanted || second) return nullptr;
    return own("column_sums", column_sums_scratch(rows, n), [=](const Args& a) {
      simd().column_sums(type, a.dout, rows, n, floats(a.din[2]), dbias == GradMode::Accumulate, a.scratch);
    });
  }
  return own("layer_norm", scratch, [=](const Args& a) {
    const float* weight = weighted && dx != GradMode::Ignore ? floats(a.in[1]) : nullptr;
    const LayerNormCall call{type, rows, n, a.dout, second ? a.dout2 : nullptr, a.in[0], weight, floats(a.out[1]), floats(a.out[2]),
                             dx != GradMode::Ignore ? a.din[0] : nullptr};
    Cut cut(a.scratch);
    double* sums = sums_wanted ? cut.take<double>(2 * n) : nullptr;
    simd().layer_norm_gradients(call, sums, sums_wanted ? cut.rest() : nullptr);
    auto write = [&](float* gradient, GradMode mode, const double* values) {
      if (mode == GradMode::Ignore) return;
      for (int64_t i = 0; i < n; i++) gradient[i] = static_cast<float>(mode == GradMode::Accumulate ? gradient[i] + values[i] : values[i]);
    };
    if (!sums) return;
    write(floats(a.din[2]), dbias, sums);
    write(floats(a.din[1]), dweight, sums + n);
  });
}

}  // namespace graft::cpu
