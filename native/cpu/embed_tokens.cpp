// embed_tokens: tokens in front of each sample's own, and the position embedding.
#include "kernels.h"

namespace graft::cpu {

std::unique_ptr<Kernel> make_embed_tokens(const Request& r) {
  if (!storable(r.outputs[0].dtype) || r.inputs[0].dtype != r.outputs[0].dtype) return nullptr;
  if (r.epilogue.any() || r.second_gradient || mode_of(r, 0) == GradMode::Accumulate) return nullptr;
  const Store type = store_of(r.outputs[0].dtype);
  const int64_t samples = r.inputs[0].shape[0], prefix = r.inputs[1].shape.count(), whole = r.inputs[2].shape.count();
  if (r.pass == Pass::Forward)
    return own("embed_tokens", 0, [=](const Args& a) {
      simd().embed_tokens(type, a.in[0], static_cast<float*>(a.in[1]), static_cast<float*>(a.in[2]), a.out[0], samples, prefix, whole);
    });
  const int64_t element = static_cast<int64_t>(size_of(r.outputs[0].dtype)), front = prefix * element, all = whole * element;
  const GradMode dx = mode_of(r, 0), dtoken = mode_of(r, 1), dposition = mode_of(r, 2);
  const bool sums_wanted = dtoken != GradMode::Ignore || dposition != GradMode::Ignore;
  return own("embed_tokens", sums_wanted ? aligned(whole * sizeof(float)) : 0, [=](const Args& a) {
    if (dx != GradMode::Ignore) move_rows(samples, all - front, shifted(a.dout, front), all, a.din[0], all - front);
    if (!sums_wanted) return;
    simd().middle_sums(type, 1, samples, whole, a.dout, nullptr, Store::F32, a.scratch, false);
    if (dtoken != GradMode::Ignore) simd().scale(Store::F32, a.scratch, a.din[1], 1, 0, prefix, dtoken == GradMode::Accumulate);
    if (dposition != GradMode::Ignore) simd().scale(Store::F32, a.scratch, a.din[2], 1, 0, whole, dposition == GradMode::Accumulate);
  });
}

}  // namespace graft::cpu
