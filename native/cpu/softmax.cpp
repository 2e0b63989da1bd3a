// softmax over the last axis.
#include "kernels.h"

namespace graft::cpu {

std::unique_ptr<Kernel> make_softmax(const Request& r) {
  if (!storable(r.inputs[0].dtype) || r.outputs[0].dtype != r.inputs[0].dtype || r.epilogue.any() || mode_of(r, 0) == GradMode::Accumulate) return nullptr;
  const Store type = store_of(r.inputs[0].dtype);
  const int64_t n = r.inputs[0].shape[-1], rows = r.inputs[0].count() / n;
  const bool log = r.call().integer("log") != 0, second = r.second_gradient;
  if (r.pass == Pass::Forward) return own("softmax", 0, [=](const Args& a) { simd().softmax(type, log, a.in[0], a.out[0], rows, n); });
  return own("softmax", 0, [=](const Args& a) { simd().softmax_data(type, log, a.dout, second ? a.dout2 : nullptr, a.out[0], a.din[0], rows, n); });
}

}  // namespace graft::cpu
