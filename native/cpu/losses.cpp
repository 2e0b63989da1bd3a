// Losses of single elements: the mean over the elements of the rows that count, and its gradient.
#include <cmath>

#include "kernels.h"

namespace graft::cpu {
namespace {

struct Term {
  float value, slope;
};

Term bce(float x, float t) {
  float e = std::exp(-std::fabs(x));  // no overflow on either side
  return {std::fmax(x, 0.f) - x * t + std::log1p(e), (x >= 0 ? 1 / (1 + e) : e / (1 + e)) - t};
}
Term square(float x, float t) { return {(x - t) * (x - t), 2 * (x - t)}; }
Term absolute(float x, float t) { return {std::fabs(x - t), x > t ? 1.f : x < t ? -1.f : 0.f}; }

template <Term (*term)(float, float)>
std::unique_ptr<Kernel> make(const Request& r) {
  const int64_t rows = r.batch, per_row = r.inputs[0].count() / rows;
  const int index = r.loss_index;
  const bool wanted = r.pass == Pass::Loss && wants(r, 0);
  return own(r.name(), aligned(8 * rows), [=](const Args& a) {
    const StepBlock& step = *a.step;
    const float *x = static_cast<const float*>(a.in[0]), *target = static_cast<const float*>(a.in[1]);
    float* dx = wanted ? static_cast<float*>(a.din[0]) : nullptr;
    double* sums = static_cast<double*>(a.scratch);
    double divisor = 0, total = 0;
    for (int64_t r = 0; r < rows; r++) divisor += step.row_weight[r];
    if (step.header->normalizer > 0) divisor = step.header->normalizer;
    divisor *= static_cast<double>(per_row);
#pragma omp parallel for schedule(static) if (rows > 1 && rows * per_row > 4096)
    for (int64_t r = 0; r < rows; r++) {
      const float weight = step.row_weight[r], factor = static_cast<float>(step.loss_weight[index] * static_cast<double>(weight) / divisor);
      double sum = 0;
      for (int64_t i = r * per_row; i < (r + 1) * per_row; i++) {
        Term t = weight != 0 ? term(x[i], target[i]) : Term{0, 0};
        sum += t.value;
        if (dx) dx[i] = factor * t.slope;
      }
      sums[r] = weight != 0 ? weight * sum : 0;
      if (dx && weight == 0) std::fill(dx + r * per_row, dx + (r + 1) * per_row, 0.f);
    }
    for (int64_t r = 0; r < rows; r++) total += sums[r];
    const float mean = static_cast<float>(total / divisor);
    step.loss[index] = mean;
    step.correct[index] = 0;
    *static_cast<float*>(a.out[0]) = mean;
  });
}

}  // namespace

std::unique_ptr<Kernel> make_elementwise_loss(const Request& r) {
  if (r.inputs[0].dtype != DType::F32 || r.inputs[1].dtype != DType::F32 || mode_of(r, 0) == GradMode::Accumulate) return nullptr;
  if (r.name() == "bce_with_logits") return make<bce>(r);
  if (r.name() == "mse") return make<square>(r);
  return make<absolute>(r);
}

}  // namespace graft::cpu
