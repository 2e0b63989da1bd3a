// normalize_pictures: of each picture the rows of its window, as reference/pictures.cpp states.
#include <algorithm>

#include "core/number_formats.h"
#include "kernels.h"

namespace graft::cpu {
namespace {

void put(float* y, float v) { *y = v; }
void put(uint16_t* y, float v) { *y = float_to_bf16(v); }

template <class T>
std::unique_ptr<Kernel> typed(const Request& r) {
  const Shape x = r.inputs[0].shape, y = r.outputs[0].shape;
  const bool cut = r.call().has(3), chosen = cut && r.inputs[3].shape[1] == 4;
  return own("normalize_pictures", 0, [=](const Args& a) {
    const uint8_t* pictures = static_cast<const uint8_t*>(a.in[0]);
    const float *scale = static_cast<const float*>(a.in[1]), *offset = static_cast<const float*>(a.in[2]);
    const int32_t* windows = cut ? static_cast<const int32_t*>(a.in[3]) : nullptr;
    const int64_t channels = y[3];
#pragma omp parallel for schedule(static) if (y[0] * y[1] > 1 && y.count() > 4096)
    for (int64_t line = 0; line < y[0] * y[1]; line++) {
      const int64_t n = line / y[1], which = chosen ? windows[4 * n] : n;
      const int32_t* window = windows ? windows + (chosen ? 4 * n + 1 : 3 * n) : nullptr;
      const int64_t row = line % y[1] + (window ? window[0] : 0), left = window ? window[1] : 0;
      const bool mirrored = window && window[2] != 0, inside = row >= 0 && row < x[1] && which >= 0 && which < x[0];
      const uint8_t* from = pictures + ((inside ? which : 0) * x[1] + (inside ? row : 0)) * x[2] * channels;
      T* to = static_cast<T*>(a.out[0]) + line * y[2] * channels;
      for (int64_t j = 0; j < y[2]; j++) {
        const int64_t column = left + (mirrored ? y[2] - 1 - j : j);
        const bool there = inside && column >= 0 && column < x[2];
        for (int64_t c = 0; c < channels; c++)
          put(to + j * channels + c, (there ? scale[c] * static_cast<float>(from[column * channels + c]) : 0.f) + offset[c]);
      }
    }
  });
}

}  // namespace

std::unique_ptr<Kernel> make_pictures(const Request& r) {
  if (r.pass != Pass::Forward || r.epilogue.any() || r.inputs[1].dtype != DType::F32 || r.inputs[2].dtype != DType::F32) return nullptr;
  if (r.outputs[0].dtype == DType::BF16) return typed<uint16_t>(r);
  return r.outputs[0].dtype == DType::F32 ? typed<float>(r) : nullptr;
}

}  // namespace graft::cpu
